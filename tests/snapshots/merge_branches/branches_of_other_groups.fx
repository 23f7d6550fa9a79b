fxopt snapshot 1
pass merge_branches
== before
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor grouped_bias : float32[4]
tensor grouped_weight : float32[4, 2, 1, 1]
tensor wide_bias : float32[4]
tensor wide_weight : float32[4, 4, 3, 3]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 6, 6] = aten.conv2d.default(inputs_0, wide_weight, wide_bias, [1, 1], [1, 1])
conv2d_1 : float32[2, 4, 6, 6] = aten.conv2d.default(inputs_0, grouped_weight, grouped_bias, [1, 1], [0, 0], [1, 1], 2)
add : float32[2, 4, 6, 6] = aten.add.Tensor(conv2d, conv2d_1)
return [add]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor grouped_bias : float32[4]
tensor grouped_weight : float32[4, 2, 1, 1]
tensor wide_bias : float32[4]
tensor wide_weight : float32[4, 4, 3, 3]
interface {"outputs": ["add"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 4, 6, 6] = aten.conv2d.default(inputs_0, wide_weight, wide_bias, [1, 1], [1, 1])
conv2d_1 : float32[2, 4, 6, 6] = aten.conv2d.default(inputs_0, grouped_weight, grouped_bias, [1, 1], [0, 0], [1, 1], 2)
add : float32[2, 4, 6, 6] = aten.add.Tensor(conv2d, conv2d_1)
return [add]
== declines
conv2d_1: its groups 2 is not that of conv2d, 1
