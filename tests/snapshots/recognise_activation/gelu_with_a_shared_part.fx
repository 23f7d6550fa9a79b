fxopt snapshot 1
pass recognise_activation
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["add_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
div : float32[3, 4] = aten.div.Tensor(inputs_0, 1.4142135623730951)
erf : float32[3, 4] = aten.erf.default(div)
mul : float32[3, 4] = aten.mul.Tensor(inputs_0, 0.5)
add : float32[3, 4] = aten.add.Tensor(erf, 1)
mul_1 : float32[3, 4] = aten.mul.Tensor(mul, add)
add_1 : float32[3, 4] = aten.add.Tensor(mul_1, erf)
return [add_1]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["add_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
div : float32[3, 4] = aten.div.Tensor(inputs_0, 1.4142135623730951)
erf : float32[3, 4] = aten.erf.default(div)
mul : float32[3, 4] = aten.mul.Tensor(inputs_0, 0.5)
add : float32[3, 4] = aten.add.Tensor(erf, 1)
mul_1 : float32[3, 4] = aten.mul.Tensor(mul, add)
add_1 : float32[3, 4] = aten.add.Tensor(mul_1, erf)
return [add_1]
== declines
mul_1: erf is used elsewhere, by add_1
