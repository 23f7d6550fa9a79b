fxopt snapshot 1
pass remove_constant_channels
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor first_bias : float32[8]
tensor first_weight : float32[8, 4, 1, 1]
tensor last_bias : float32[4]
tensor last_weight : float32[4, 8, 3, 3]
interface {"outputs": ["conv2d_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sigmoid : float32[N, 4, 6, 6] = aten.sigmoid.default(inputs_0)
conv2d : float32[N, 8, 6, 6] = aten.conv2d.default(sigmoid, first_weight, first_bias)
clamp : float32[N, 8, 6, 6] = aten.clamp.default(conv2d, 5.0)
conv2d_1 : float32[N, 4, 6, 6] = aten.conv2d.default(clamp, last_weight, last_bias, [1, 1], [1, 1])
return [conv2d_1]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor first_bias : float32[8]
tensor first_weight : float32[8, 4, 1, 1]
tensor last_bias : float32[4]
tensor last_weight : float32[4, 8, 3, 3]
interface {"outputs": ["conv2d_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sigmoid : float32[N, 4, 6, 6] = aten.sigmoid.default(inputs_0)
conv2d : float32[N, 8, 6, 6] = aten.conv2d.default(sigmoid, first_weight, first_bias)
clamp : float32[N, 8, 6, 6] = aten.clamp.default(conv2d, 5.0)
conv2d_1 : float32[N, 4, 6, 6] = aten.conv2d.default(clamp, last_weight, last_bias, [1, 1], [1, 1])
return [conv2d_1]
== declines
conv2d: a channel is constant but not 0, and the zero padding of conv2d_1 would see the constant
