fxopt snapshot 1
pass binary
== before
fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 4, 4, 4]
tensor n0_bias : float32[16]
tensor n0_weight : float32[16, 4, 3, 3]
tensor n3_bias : float32[48]
tensor n3_weight : float32[48, 64]
tensor n5_bias : float32[32]
tensor n5_weight : float32[32, 48]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
conv2d : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, n0_weight, n0_bias)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear : float32[N, 48] = aten.linear.default(view, n3_weight, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear)
linear_1 : float32[N, 32] = aten.linear.default(gelu, n5_weight, n5_bias)
return [linear_1]
== after
fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 4, 4, 4]
tensor linear__magnitude_37f1 : float32[48]
tensor linear__one_37f1 : float32[]
tensor linear__one_37f1_1 : float32[]
tensor linear__signs_37f1 : int8[48, 64]
tensor n0_bias : float32[16]
tensor n0_weight : float32[16, 4, 3, 3]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
tensor n5_weight : float32[32, 48]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear__dequantize_per_channel_37f1 : float32[48, 64] = quantized_decomposed.dequantize_per_channel.default(linear__signs_37f1, linear__magnitude_37f1, None, 0, -1, 1, torch.int8, out_dtype=torch.float32)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
conv2d : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, n0_weight, n0_bias)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__abs_37f1 : float32[N, 64] = aten.abs.default(view)
linear__mean_37f1 : float32[N, 1] = aten.mean.dim(linear__abs_37f1, [-1], True)
linear__ge_37f1 : bool[N, 64] = aten.ge.Scalar(view, 0)
linear__where_37f1 : float32[N, 64] = aten.where.self(linear__ge_37f1, linear__one_37f1, linear__one_37f1_1)
linear__linear_37f1 : float32[N, 48] = aten.linear.default(linear__where_37f1, linear__dequantize_per_channel_37f1)
linear__mul_37f1 : float32[N, 48] = aten.mul.Tensor(linear__linear_37f1, linear__mean_37f1)
linear__add_37f1 : float32[N, 48] = aten.add.Tensor(linear__mul_37f1, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__add_37f1)
linear_1 : float32[N, 32] = aten.linear.default(gelu, n5_weight, n5_bias)
return [linear_1]
== declines
conv2d: it is the first or the last layer
linear_1: it is the first or the last layer
