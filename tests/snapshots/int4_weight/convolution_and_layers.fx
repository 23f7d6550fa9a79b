fxopt snapshot 1
pass int4_weight
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
tensor linear_1__int4_weight_be38 : int8[32, 48]
tensor linear_1__scale_be38 : float32[32, 3]
tensor linear__int4_weight_b68c : int8[48, 64]
tensor linear__scale_b68c : float32[48, 1]
tensor n0_bias : float32[16]
tensor n0_weight : float32[16, 4, 3, 3]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1__dequantize_per_channel_group_be38 : float32[32, 48] = quantized_decomposed.dequantize_per_channel_group.default(linear_1__int4_weight_be38, linear_1__scale_be38, None, -8, 7, torch.int8, 16, torch.float32)
linear__dequantize_per_channel_group_b68c : float32[48, 64] = quantized_decomposed.dequantize_per_channel_group.default(linear__int4_weight_b68c, linear__scale_b68c, None, -8, 7, torch.int8, 64, torch.float32)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
conv2d : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, n0_weight, n0_bias)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__linear_b68c : float32[N, 48] = aten.linear.default(view, linear__dequantize_per_channel_group_b68c, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_b68c)
linear_1__linear_be38 : float32[N, 32] = aten.linear.default(gelu, linear_1__dequantize_per_channel_group_be38, n5_bias)
return [linear_1__linear_be38]
== declines
conv2d: groups are along the rows of linear layers
