fxopt snapshot 1
pass remove_identities
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["mul", "relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"tuple": [{"leaf": 0}, {"leaf": 1}]}}
mul : float32[3, 4] = aten.mul.Tensor(inputs_0, 1)
relu : float32[3, 4] = aten.relu.default(inputs_0)
return [mul, relu]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["mul", "relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"tuple": [{"leaf": 0}, {"leaf": 1}]}}
mul : float32[3, 4] = aten.mul.Tensor(inputs_0, 1)
relu : float32[3, 4] = aten.relu.default(inputs_0)
return [mul, relu]
== declines
mul: the output would be inputs_0 itself
