fxopt snapshot 1
pass fold_constants
== before
fxopt program 1
input inputs_0 : float32[512, 40]
tensor row : float32[40]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
expand : float32[4, 512, 40] = aten.expand.default(row, [4, 512, 40])
exp : float32[4, 512, 40] = aten.exp.default(expand)
add : float32[4, 512, 40] = aten.add.Tensor(inputs_0, exp)
return [add]
== after
fxopt program 1
input inputs_0 : float32[512, 40]
tensor row : float32[40]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
expand : float32[4, 512, 40] = aten.expand.default(row, [4, 512, 40])
exp : float32[4, 512, 40] = aten.exp.default(expand)
add : float32[4, 512, 40] = aten.add.Tensor(inputs_0, exp)
return [add]
== declines
expand: its value is 327520 bytes larger than what it is computed from
