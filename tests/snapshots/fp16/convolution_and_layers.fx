fxopt snapshot 1
pass fp16
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
tensor conv2d__fp16_6cee : float16[16, 4, 3, 3]
tensor linear_1__fp16_124d : float16[32, 48]
tensor linear__fp16_83f2 : float16[48, 64]
tensor n0_bias : float32[16]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1___to_copy_124d : float32[32, 48] = aten._to_copy.default(linear_1__fp16_124d, dtype=torch.float32)
linear___to_copy_83f2 : float32[48, 64] = aten._to_copy.default(linear__fp16_83f2, dtype=torch.float32)
conv2d___to_copy_6cee : float32[16, 4, 3, 3] = aten._to_copy.default(conv2d__fp16_6cee, dtype=torch.float32)
conv2d__conv2d_6cee : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, conv2d___to_copy_6cee, n0_bias)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d__conv2d_6cee)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__linear_83f2 : float32[N, 48] = aten.linear.default(view, linear___to_copy_83f2, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_83f2)
linear_1__linear_124d : float32[N, 32] = aten.linear.default(gelu, linear_1___to_copy_124d, n5_bias)
return [linear_1__linear_124d]
== declines
