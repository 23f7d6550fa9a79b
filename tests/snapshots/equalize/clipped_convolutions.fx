fxopt snapshot 1
pass equalize
== before
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor first_bias : float32[8]
tensor first_weight : float32[8, 4, 1, 1]
tensor last_bias : float32[4]
tensor last_weight : float32[4, 8, 1, 1]
interface {"outputs": ["conv2d_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 8, 6, 6] = aten.conv2d.default(inputs_0, first_weight, first_bias)
relu6 : float32[2, 8, 6, 6] = aten.relu6.default(conv2d)
conv2d_1 : float32[2, 4, 6, 6] = aten.conv2d.default(relu6, last_weight, last_bias)
return [conv2d_1]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor first_bias : float32[8]
tensor first_weight : float32[8, 4, 1, 1]
tensor last_bias : float32[4]
tensor last_weight : float32[4, 8, 1, 1]
interface {"outputs": ["conv2d_1"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[2, 8, 6, 6] = aten.conv2d.default(inputs_0, first_weight, first_bias)
relu6 : float32[2, 8, 6, 6] = aten.relu6.default(conv2d)
conv2d_1 : float32[2, 4, 6, 6] = aten.conv2d.default(relu6, last_weight, last_bias)
return [conv2d_1]
== declines
conv2d: no scale passes relu6, which is not positively homogeneous
