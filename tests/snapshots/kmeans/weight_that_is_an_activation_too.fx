fxopt snapshot 1
pass kmeans
== before
fxopt program 1
input inputs_0 : float32[2, 64]
tensor w : float32[16, 64]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 16] = aten.linear.default(inputs_0, w)
sum_1 : float32[] = aten.sum.default(w)
add : float32[2, 16] = aten.add.Tensor(linear, sum_1)
return [add]
== after
fxopt program 1
input inputs_0 : float32[2, 64]
tensor w : float32[16, 64]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 16] = aten.linear.default(inputs_0, w)
sum_1 : float32[] = aten.sum.default(w)
add : float32[2, 16] = aten.add.Tensor(linear, sum_1)
return [add]
== declines
linear: its weight is used by sum_1 as well
