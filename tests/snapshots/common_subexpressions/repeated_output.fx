fxopt snapshot 1
pass common_subexpressions
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["exp", "mul", "exp_2"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"tuple": [{"leaf": 0}, {"leaf": 1}, {"leaf": 2}]}}
exp : float32[3, 4] = aten.exp.default(inputs_0)
exp_1 : float32[3, 4] = aten.exp.default(inputs_0)
mul : float32[3, 4] = aten.mul.Tensor(exp_1, 1.0)
exp_2 : float32[3, 4] = aten.exp.default(inputs_0)
return [exp, mul, exp_2]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["exp", "mul", "exp_2"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"tuple": [{"leaf": 0}, {"leaf": 1}, {"leaf": 2}]}}
exp : float32[3, 4] = aten.exp.default(inputs_0)
mul : float32[3, 4] = aten.mul.Tensor(exp, 1.0)
exp_2 : float32[3, 4] = aten.exp.default(inputs_0)
return [exp, mul, exp_2]
== declines
exp_2: exp_2 and exp are both outputs
