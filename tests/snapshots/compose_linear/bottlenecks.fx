fxopt snapshot 1
pass compose_linear
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor a_bias : float32[16]
tensor a_weight : float32[16, 4, 1, 1]
tensor b_bias : float32[4]
tensor b_weight : float32[4, 16]
tensor c_bias : float32[16]
tensor c_weight : float32[16, 4, 1, 1]
tensor d_weight : float32[4, 16, 3, 3]
interface {"outputs": ["add_24"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[N, 16, 6, 6] = aten.conv2d.default(inputs_0, a_weight, a_bias)
mean : float32[N, 16] = aten.mean.dim(conv2d, [2, 3])
linear : float32[N, 4] = aten.linear.default(mean, b_weight, b_bias)
conv2d_1 : float32[N, 16, 6, 6] = aten.conv2d.default(inputs_0, c_weight, c_bias)
conv2d_2 : float32[N, 4, 4, 4] = aten.conv2d.default(conv2d_1, d_weight)
mean_1 : float32[N, 4] = aten.mean.dim(conv2d_2, [2, 3])
add_24 : float32[N, 4] = aten.add.Tensor(linear, mean_1)
return [add_24]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor a_bias : float32[16]
tensor a_weight : float32[16, 4, 1, 1]
tensor b_bias : float32[4]
tensor b_weight : float32[4, 16]
tensor conv2d_2__bias_a8a8 : float32[4]
tensor conv2d_2__weight_a8a8 : float32[4, 4, 3, 3]
interface {"outputs": ["add_24"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d_2__conv2d_a8a8 : float32[N, 4, 4, 4] = aten.conv2d.default(inputs_0, conv2d_2__weight_a8a8, conv2d_2__bias_a8a8)
conv2d : float32[N, 16, 6, 6] = aten.conv2d.default(inputs_0, a_weight, a_bias)
mean : float32[N, 16] = aten.mean.dim(conv2d, [2, 3])
linear : float32[N, 4] = aten.linear.default(mean, b_weight, b_bias)
mean_1 : float32[N, 4] = aten.mean.dim(conv2d_2__conv2d_a8a8, [2, 3])
add_24 : float32[N, 4] = aten.add.Tensor(linear, mean_1)
return [add_24]
== declines
