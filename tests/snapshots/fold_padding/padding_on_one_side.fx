fxopt snapshot 1
pass fold_padding
== before
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
interface {"outputs": ["conv2d"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
pad : float32[2, 4, 7, 7] = aten.pad.default(inputs_0, [0, 1, 0, 1])
conv2d : float32[2, 4, 3, 3] = aten.conv2d.default(pad, conv_weight, conv_bias, [2, 2])
return [conv2d]
== after
fxopt program 1
input inputs_0 : float32[2, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
interface {"outputs": ["conv2d"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
pad : float32[2, 4, 7, 7] = aten.pad.default(inputs_0, [0, 1, 0, 1])
conv2d : float32[2, 4, 3, 3] = aten.conv2d.default(pad, conv_weight, conv_bias, [2, 2])
return [conv2d]
== declines
pad: it is asymmetric: [0, 0] before and [1, 1] after
