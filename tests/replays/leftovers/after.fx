fxopt program 1
dim N = 1..16 @ 2
input x : float32[N, 3, 16, 16]
tensor bias : float32[32]
tensor conv_bias : float32[16]
tensor div__weight_6035 : float32[16, 3, 3, 3]
tensor mean : float32[3, 1, 1]
tensor mul_28__folded_e537 : float32[32, 16]
tensor narrow_bias : float32[4]
tensor narrow_weight : float32[4, 32]
tensor weight : float32[32]
tensor wide_bias : float32[8]
tensor wide_weight : float32[8, 4]
interface {"outputs": ["linear_2"], "parameters": ["x"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sub : float32[N, 3, 16, 16] = aten.sub.Tensor(x, mean)
div__conv2d_6035 : float32[N, 16, 8, 8] = aten.conv2d.default(sub, div__weight_6035, conv_bias, [2, 2], [1, 1])
mul_14__hardswish_43e3 : float32[N, 16, 8, 8] = aten.hardswish.default(div__conv2d_6035)
mean_1 : float32[N, 16] = aten.mean.dim(mul_14__hardswish_43e3, [2, 3])
linear : float32[N, 32] = aten.linear.default(mean_1, mul_28__folded_e537)
add_96__layer_norm_beb2 : float32[N, 32] = aten.layer_norm.default(linear, [32], weight, bias, 1e-05)
mul_58__gelu_922b : float32[N, 32] = aten.gelu.default(add_96__layer_norm_beb2)
linear_1 : float32[N, 4] = aten.linear.default(mul_58__gelu_922b, narrow_weight, narrow_bias)
linear_2 : float32[N, 8] = aten.linear.default(linear_1, wide_weight, wide_bias)
return [linear_2]
