fxopt snapshot 1
pass fold_batch_norm
== before
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
tensor norm_bias : float32[4]
tensor norm_running_mean : float32[4]
tensor norm_running_var : float32[4]
tensor norm_weight : float32[4]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 4, 4] = aten.conv2d.default(inputs_0, conv_weight, conv_bias)
batch_norm : float32[2, 4, 4, 4] = aten.batch_norm.default(conv2d, norm_weight, norm_bias, norm_running_mean, norm_running_var, False, 0.1, 1e-05, False)
relu : float32[2, 4, 4, 4] = aten.relu.default(batch_norm)
add : float32[2, 4, 4, 4] = aten.add.Tensor(relu, conv2d)
return [add]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
tensor norm_bias : float32[4]
tensor norm_running_mean : float32[4]
tensor norm_running_var : float32[4]
tensor norm_weight : float32[4]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 4, 4] = aten.conv2d.default(inputs_0, conv_weight, conv_bias)
batch_norm : float32[2, 4, 4, 4] = aten.batch_norm.default(conv2d, norm_weight, norm_bias, norm_running_mean, norm_running_var, False, 0.1, 1e-05, False)
relu : float32[2, 4, 4, 4] = aten.relu.default(batch_norm)
add : float32[2, 4, 4, 4] = aten.add.Tensor(relu, conv2d)
return [add]
== declines
batch_norm: conv2d has 2 users
