fxopt snapshot 1
pass fold_affine
== before
fxopt program 1
dim N = 1..16 @ 3
input inputs_0 : float32[N, 4]
tensor first_bias : float32[8]
tensor first_weight : float32[8, 4]
tensor last_bias : float32[4]
tensor last_weight : float32[4, 8]
tensor norm_bias : float32[8]
tensor norm_weight : float32[8]
tensor scale : float32[8]
tensor shift : float32[8]
interface {"outputs": ["linear_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[N, 8] = aten.linear.default(inputs_0, first_weight, first_bias)
mul_2 : float32[N, 8] = aten.mul.Tensor(linear, scale)
add_6 : float32[N, 8] = aten.add.Tensor(mul_2, shift)
mul_7 : float32[N, 8] = aten.mul.Tensor(add_6, 0.5)
layer_norm : float32[N, 8] = aten.layer_norm.default(mul_7, [8], norm_weight, norm_bias, 1e-05, False)
linear_1 : float32[N, 4] = aten.linear.default(layer_norm, last_weight, last_bias)
return [linear_1]
== after
fxopt program 1
dim N = 1..16 @ 3
input inputs_0 : float32[N, 4]
tensor layer_norm__bias_c30c : float32[4]
tensor layer_norm__weight_c30c : float32[4, 8]
tensor mul_7__bias_e92f : float32[8]
tensor mul_7__weight_e92f : float32[8, 4]
interface {"outputs": ["linear_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mul_7__linear_e92f : float32[N, 8] = aten.linear.default(inputs_0, mul_7__weight_e92f, mul_7__bias_e92f)
layer_norm__layer_norm_c30c : float32[N, 8] = aten.layer_norm.default(mul_7__linear_e92f, [8], None, None, 1e-05, False)
layer_norm__linear_c30c : float32[N, 4] = aten.linear.default(layer_norm__layer_norm_c30c, layer_norm__weight_c30c, layer_norm__bias_c30c)
return [layer_norm__linear_c30c]
== declines
