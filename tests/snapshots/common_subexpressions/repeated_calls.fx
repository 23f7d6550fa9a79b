fxopt snapshot 1
pass common_subexpressions
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["sub"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
exp : float32[3, 4] = aten.exp.default(inputs_0)
add : float32[3, 4] = aten.add.Tensor(exp, 1)
relu : float32[3, 4] = aten.relu.default(add)
exp_1 : float32[3, 4] = aten.exp.default(inputs_0)
add_1 : float32[3, 4] = aten.add.Tensor(exp_1, 1)
neg : float32[3, 4] = aten.neg.default(add_1)
mul : float32[3, 4] = aten.mul.Tensor(relu, neg)
exp_2 : float32[3, 4] = aten.exp.default(inputs_0)
sub : float32[3, 4] = aten.sub.Tensor(mul, exp_2)
return [sub]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["sub"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
exp : float32[3, 4] = aten.exp.default(inputs_0)
add : float32[3, 4] = aten.add.Tensor(exp, 1)
relu : float32[3, 4] = aten.relu.default(add)
neg : float32[3, 4] = aten.neg.default(add)
mul : float32[3, 4] = aten.mul.Tensor(relu, neg)
sub : float32[3, 4] = aten.sub.Tensor(mul, exp)
return [sub]
== declines
