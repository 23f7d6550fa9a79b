fxopt snapshot 1
pass int8_dynamic
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
tensor linear_1__int8_554a : int8[32, 48]
tensor linear_1__scale_554a : float32[32]
tensor linear__int8_3072 : int8[48, 64]
tensor linear__scale_3072 : float32[48]
tensor n0_bias : float32[16]
tensor n0_weight : float32[16, 4, 3, 3]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1__dequantize_per_channel_554a : float32[32, 48] = quantized_decomposed.dequantize_per_channel.default(linear_1__int8_554a, linear_1__scale_554a, None, 0, -127, 127, torch.int8, out_dtype=torch.float32)
linear__dequantize_per_channel_3072 : float32[48, 64] = quantized_decomposed.dequantize_per_channel.default(linear__int8_3072, linear__scale_3072, None, 0, -127, 127, torch.int8, out_dtype=torch.float32)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
conv2d : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, n0_weight, n0_bias)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__choose_qparams_3072 : (float64[1], int64[1]) = quantized_decomposed.choose_qparams.tensor(view, 0, 255, 1e-09, torch.uint8)
linear__getitem_3072_1 : int64[1] = operator.getitem(linear__choose_qparams_3072, 1)
linear__getitem_3072 : float64[1] = operator.getitem(linear__choose_qparams_3072, 0)
linear__quantize_per_tensor_3072 : uint8[N, 64] = quantized_decomposed.quantize_per_tensor.tensor(view, linear__getitem_3072, linear__getitem_3072_1, 0, 255, torch.uint8)
linear__dequantize_per_tensor_3072 : float32[N, 64] = quantized_decomposed.dequantize_per_tensor.tensor(linear__quantize_per_tensor_3072, linear__getitem_3072, linear__getitem_3072_1, 0, 255, torch.uint8, out_dtype=torch.float32)
linear__linear_3072 : float32[N, 48] = aten.linear.default(linear__dequantize_per_tensor_3072, linear__dequantize_per_channel_3072, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_3072)
linear_1__choose_qparams_554a : (float64[1], int64[1]) = quantized_decomposed.choose_qparams.tensor(gelu, 0, 255, 1e-09, torch.uint8)
linear_1__getitem_554a_1 : int64[1] = operator.getitem(linear_1__choose_qparams_554a, 1)
linear_1__getitem_554a : float64[1] = operator.getitem(linear_1__choose_qparams_554a, 0)
linear_1__quantize_per_tensor_554a : uint8[N, 48] = quantized_decomposed.quantize_per_tensor.tensor(gelu, linear_1__getitem_554a, linear_1__getitem_554a_1, 0, 255, torch.uint8)
linear_1__dequantize_per_tensor_554a : float32[N, 48] = quantized_decomposed.dequantize_per_tensor.tensor(linear_1__quantize_per_tensor_554a, linear_1__getitem_554a, linear_1__getitem_554a_1, 0, 255, torch.uint8, out_dtype=torch.float32)
linear_1__linear_554a : float32[N, 32] = aten.linear.default(linear_1__dequantize_per_tensor_554a, linear_1__dequantize_per_channel_554a, n5_bias)
return [linear_1__linear_554a]
== declines
conv2d: only linear layers quantize their input as it comes
