fxopt snapshot 1
pass merge_parallel
== before
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor a_bias : float32[4]
tensor a_weight : float32[4, 4, 3, 3]
tensor b_bias : float32[4]
tensor b_weight : float32[4, 4, 3, 3]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 4, 4] = aten.conv2d.default(inputs_0, a_weight, a_bias)
mean : float32[2, 4] = aten.mean.dim(conv2d, [2, 3])
conv2d_1 : float32[2, 4, 2, 2] = aten.conv2d.default(inputs_0, b_weight, b_bias, [2, 2])
mean_1 : float32[2, 4] = aten.mean.dim(conv2d_1, [2, 3])
add : float32[2, 4] = aten.add.Tensor(mean, mean_1)
return [add]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor a_bias : float32[4]
tensor a_weight : float32[4, 4, 3, 3]
tensor b_bias : float32[4]
tensor b_weight : float32[4, 4, 3, 3]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 4, 4] = aten.conv2d.default(inputs_0, a_weight, a_bias)
mean : float32[2, 4] = aten.mean.dim(conv2d, [2, 3])
conv2d_1 : float32[2, 4, 2, 2] = aten.conv2d.default(inputs_0, b_weight, b_bias, [2, 2])
mean_1 : float32[2, 4] = aten.mean.dim(conv2d_1, [2, 3])
add : float32[2, 4] = aten.add.Tensor(mean, mean_1)
return [add]
== declines
conv2d: strides differ: conv2d_1 takes the same value
conv2d_1: strides differ: conv2d takes the same value
