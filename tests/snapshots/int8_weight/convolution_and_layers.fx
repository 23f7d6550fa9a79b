fxopt snapshot 1
pass int8_weight
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
tensor conv2d__int8_weight_235c : int8[16, 4, 3, 3]
tensor conv2d__scale_235c : float32[16]
tensor linear_1__int8_weight_f819 : int8[32, 48]
tensor linear_1__scale_f819 : float32[32]
tensor linear__int8_weight_d96d : int8[48, 64]
tensor linear__scale_d96d : float32[48]
tensor n0_bias : float32[16]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1__dequantize_per_channel_f819 : float32[32, 48] = quantized_decomposed.dequantize_per_channel.default(linear_1__int8_weight_f819, linear_1__scale_f819, None, 0, -127, 127, torch.int8, out_dtype=torch.float32)
linear__dequantize_per_channel_d96d : float32[48, 64] = quantized_decomposed.dequantize_per_channel.default(linear__int8_weight_d96d, linear__scale_d96d, None, 0, -127, 127, torch.int8, out_dtype=torch.float32)
conv2d__dequantize_per_channel_235c : float32[16, 4, 3, 3] = quantized_decomposed.dequantize_per_channel.default(conv2d__int8_weight_235c, conv2d__scale_235c, None, 0, -127, 127, torch.int8, out_dtype=torch.float32)
conv2d__conv2d_235c : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, conv2d__dequantize_per_channel_235c, n0_bias)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d__conv2d_235c)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__linear_d96d : float32[N, 48] = aten.linear.default(view, linear__dequantize_per_channel_d96d, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_d96d)
linear_1__linear_f819 : float32[N, 32] = aten.linear.default(gelu, linear_1__dequantize_per_channel_f819, n5_bias)
return [linear_1__linear_f819]
== declines
