fxopt snapshot 1
pass fold_affine
== before
fxopt program 1
input inputs_0 : float32[3, 4]
tensor linear_bias : float32[4]
tensor linear_weight : float32[4, 4]
tensor scale : float32[4]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[3, 4] = aten.linear.default(inputs_0, linear_weight, linear_bias)
mul : float32[3, 4] = aten.mul.Tensor(linear, scale)
add : float32[3, 4] = aten.add.Tensor(mul, linear)
return [add]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
tensor linear_bias : float32[4]
tensor linear_weight : float32[4, 4]
tensor scale : float32[4]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[3, 4] = aten.linear.default(inputs_0, linear_weight, linear_bias)
mul : float32[3, 4] = aten.mul.Tensor(linear, scale)
add : float32[3, 4] = aten.add.Tensor(mul, linear)
return [add]
== declines
mul: linear has 2 users
