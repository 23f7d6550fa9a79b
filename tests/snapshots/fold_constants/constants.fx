fxopt snapshot 1
pass fold_constants
== before
fxopt program 1
input inputs_0 : float32[3, 4]
tensor direction : float32[5, 4]
tensor length : float32[5, 1]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linalg_vector_norm : float32[5, 1] = aten.linalg_vector_norm.default(direction, 2, [1], True)
div : float32[5, 1] = aten.div.Tensor(length, linalg_vector_norm)
mul : float32[5, 4] = aten.mul.Tensor(direction, div)
linear : float32[3, 5] = aten.linear.default(inputs_0, mul)
mul_1 : float32[5, 1] = aten.mul.Tensor(length, 2)
sum_1 : float32[] = aten.sum.default(mul_1)
add : float32[3, 5] = aten.add.Tensor(linear, sum_1)
return [add]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
tensor mul__folded_25bf : float32[5, 4]
tensor sum_1__folded_27d4 : float32[]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[3, 5] = aten.linear.default(inputs_0, mul__folded_25bf)
add : float32[3, 5] = aten.add.Tensor(linear, sum_1__folded_27d4)
return [add]
== declines
