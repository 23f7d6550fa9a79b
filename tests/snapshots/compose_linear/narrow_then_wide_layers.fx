fxopt snapshot 1
pass compose_linear
== before
fxopt program 1
input inputs_0 : float32[3, 16]
tensor a_bias : float32[2]
tensor a_weight : float32[2, 16]
tensor b_bias : float32[16]
tensor b_weight : float32[16, 2]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[3, 2] = aten.linear.default(inputs_0, a_weight, a_bias)
linear_1 : float32[3, 16] = aten.linear.default(linear, b_weight, b_bias)
relu : float32[3, 16] = aten.relu.default(linear_1)
return [relu]
== after
fxopt program 1
input inputs_0 : float32[3, 16]
tensor a_bias : float32[2]
tensor a_weight : float32[2, 16]
tensor b_bias : float32[16]
tensor b_weight : float32[16, 2]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[3, 2] = aten.linear.default(inputs_0, a_weight, a_bias)
linear_1 : float32[3, 16] = aten.linear.default(linear, b_weight, b_bias)
relu : float32[3, 16] = aten.relu.default(linear_1)
return [relu]
== declines
linear_1: the product costs 768 multiplications, the pair 192
