fxopt snapshot 1
pass merge_branches
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor alone_bias : float32[4]
tensor alone_running_mean : float32[4]
tensor alone_running_var : float32[4]
tensor alone_weight : float32[4]
tensor narrow_bias : float32[4]
tensor narrow_weight : float32[4, 4, 1, 1]
tensor norm_bias : float32[4]
tensor norm_running_mean : float32[4]
tensor norm_running_var : float32[4]
tensor norm_weight : float32[4]
tensor wide_weight : float32[4, 4, 3, 3]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[N, 4, 6, 6] = aten.conv2d.default(inputs_0, wide_weight, None, [1, 1], [1, 1])
batch_norm : float32[N, 4, 6, 6] = aten.batch_norm.default(conv2d, norm_weight, norm_bias, norm_running_mean, norm_running_var, False, 0.1, 1e-05, False)
conv2d_1 : float32[N, 4, 6, 6] = aten.conv2d.default(inputs_0, narrow_weight, narrow_bias)
add_15 : float32[N, 4, 6, 6] = aten.add.Tensor(batch_norm, conv2d_1)
batch_norm_1 : float32[N, 4, 6, 6] = aten.batch_norm.default(inputs_0, alone_weight, alone_bias, alone_running_mean, alone_running_var, False, 0.1, 1e-05, False)
add_26 : float32[N, 4, 6, 6] = aten.add.Tensor(add_15, batch_norm_1)
relu : float32[N, 4, 6, 6] = aten.relu.default(add_26)
return [relu]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor add_26__bias_b1b4 : float32[4]
tensor add_26__weight_b1b4 : float32[4, 4, 3, 3]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
add_26__conv2d_b1b4 : float32[N, 4, 6, 6] = aten.conv2d.default(inputs_0, add_26__weight_b1b4, add_26__bias_b1b4, [1, 1], [1, 1])
relu : float32[N, 4, 6, 6] = aten.relu.default(add_26__conv2d_b1b4)
return [relu]
== declines
