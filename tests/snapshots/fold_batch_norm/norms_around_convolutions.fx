fxopt snapshot 1
pass fold_batch_norm
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor after_bias : float32[6]
tensor after_running_mean : float32[6]
tensor after_running_var : float32[6]
tensor after_weight : float32[6]
tensor before_bias : float32[4]
tensor before_running_mean : float32[4]
tensor before_running_var : float32[4]
tensor before_weight : float32[4]
tensor conv_weight : float32[6, 4, 3, 3]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
batch_norm : float32[N, 4, 6, 6] = aten.batch_norm.default(inputs_0, before_weight, before_bias, before_running_mean, before_running_var, False, 0.1, 1e-05, False)
conv2d : float32[N, 6, 4, 4] = aten.conv2d.default(batch_norm, conv_weight)
batch_norm_1 : float32[N, 6, 4, 4] = aten.batch_norm.default(conv2d, after_weight, after_bias, after_running_mean, after_running_var, False, 0.1, 1e-05, False)
relu : float32[N, 6, 4, 4] = aten.relu.default(batch_norm_1)
return [relu]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor batch_norm_1__bias_2e50 : float32[6]
tensor batch_norm_1__weight_2e50 : float32[6, 4, 3, 3]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
batch_norm_1__conv2d_2e50 : float32[N, 6, 4, 4] = aten.conv2d.default(inputs_0, batch_norm_1__weight_2e50, batch_norm_1__bias_2e50)
relu : float32[N, 6, 4, 4] = aten.relu.default(batch_norm_1__conv2d_2e50)
return [relu]
== declines
