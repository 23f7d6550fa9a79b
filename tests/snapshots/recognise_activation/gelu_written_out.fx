fxopt snapshot 1
pass recognise_activation
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["add_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mul : float32[3, 4] = aten.mul.Tensor(inputs_0, 0.5)
div : float32[3, 4] = aten.div.Tensor(inputs_0, 1.4142135623730951)
erf : float32[3, 4] = aten.erf.default(div)
add : float32[3, 4] = aten.add.Tensor(erf, 1)
mul_1 : float32[3, 4] = aten.mul.Tensor(mul, add)
sigmoid : float32[3, 4] = aten.sigmoid.default(inputs_0)
mul_2 : float32[3, 4] = aten.mul.Tensor(inputs_0, sigmoid)
add_1 : float32[3, 4] = aten.add.Tensor(mul_1, mul_2)
return [add_1]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["add_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mul_2__silu_e98b : float32[3, 4] = aten.silu.default(inputs_0)
mul_1__gelu_3a15 : float32[3, 4] = aten.gelu.default(inputs_0)
add_1 : float32[3, 4] = aten.add.Tensor(mul_1__gelu_3a15, mul_2__silu_e98b)
return [add_1]
== declines
