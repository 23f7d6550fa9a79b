fxopt snapshot 1
pass recognise_normalization
== before
fxopt program 1
input inputs_0 : float32[2, 4, 8]
interface {"outputs": ["div"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mean : float32[2, 4, 1] = aten.mean.dim(inputs_0, [-1], True)
sub : float32[2, 4, 8] = aten.sub.Tensor(inputs_0, mean)
pow_1 : float32[2, 4, 8] = aten.pow.Tensor_Scalar(sub, 2)
mean_1 : float32[2, 4, 1] = aten.mean.dim(pow_1, [-1], True)
sqrt : float32[2, 4, 1] = aten.sqrt.default(mean_1)
add : float32[2, 4, 1] = aten.add.Tensor(sqrt, 1e-05)
div : float32[2, 4, 8] = aten.div.Tensor(sub, add)
return [div]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 8]
interface {"outputs": ["div"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mean : float32[2, 4, 1] = aten.mean.dim(inputs_0, [-1], True)
sub : float32[2, 4, 8] = aten.sub.Tensor(inputs_0, mean)
pow_1 : float32[2, 4, 8] = aten.pow.Tensor_Scalar(sub, 2)
mean_1 : float32[2, 4, 1] = aten.mean.dim(pow_1, [-1], True)
sqrt : float32[2, 4, 1] = aten.sqrt.default(mean_1)
add : float32[2, 4, 1] = aten.add.Tensor(sqrt, 1e-05)
div : float32[2, 4, 8] = aten.div.Tensor(sub, add)
return [div]
== declines
div: eps is added to the standard deviation, not to the variance
