fxopt snapshot 1
pass fold_padding
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
interface {"outputs": ["avg_pool2d"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
pad : float32[N, 4, 8, 8] = aten.pad.default(inputs_0, [1, 1, 1, 1])
conv2d : float32[N, 4, 6, 6] = aten.conv2d.default(pad, conv_weight, conv_bias)
relu : float32[N, 4, 6, 6] = aten.relu.default(conv2d)
pad_1 : float32[N, 4, 8, 8] = aten.pad.default(relu, [1, 1, 1, 1])
avg_pool2d : float32[N, 4, 3, 3] = aten.avg_pool2d.default(pad_1, [3, 3], [2, 2])
return [avg_pool2d]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 6, 6]
tensor conv_bias : float32[4]
tensor conv_weight : float32[4, 4, 3, 3]
interface {"outputs": ["avg_pool2d"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
pad__conv2d_2f4a : float32[N, 4, 6, 6] = aten.conv2d.default(inputs_0, conv_weight, conv_bias, [1, 1], [1, 1])
relu : float32[N, 4, 6, 6] = aten.relu.default(pad__conv2d_2f4a)
pad_1__avg_pool2d_9fdf : float32[N, 4, 3, 3] = aten.avg_pool2d.default(relu, [3, 3], [2, 2], [1, 1])
return [pad_1__avg_pool2d_9fdf]
== declines
