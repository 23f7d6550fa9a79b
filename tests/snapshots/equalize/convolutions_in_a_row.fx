fxopt snapshot 1
pass equalize{factor=1.5}
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 16, 4, 4]
tensor a_bias : float32[16]
tensor a_weight : float32[16, 1, 1, 1]
tensor b_bias : float32[16]
tensor b_weight : float32[16, 1, 1, 1]
tensor c_bias : float32[16]
tensor c_weight : float32[16, 1, 1, 1]
tensor head_bias : float32[3]
tensor head_weight : float32[3, 64]
interface {"outputs": ["linear"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sym_size_int_1 : int = aten.sym_size.int(inputs_0, 0)
conv2d : float32[N, 16, 4, 4] = aten.conv2d.default(inputs_0, a_weight, a_bias, [1, 1], [0, 0], [1, 1], 16)
relu : float32[N, 16, 4, 4] = aten.relu.default(conv2d)
conv2d_1 : float32[N, 16, 4, 4] = aten.conv2d.default(relu, b_weight, b_bias, [1, 1], [0, 0], [1, 1], 16)
relu_1 : float32[N, 16, 4, 4] = aten.relu.default(conv2d_1)
conv2d_2 : float32[N, 16, 4, 4] = aten.conv2d.default(relu_1, c_weight, c_bias, [1, 1], [0, 0], [1, 1], 16)
leaky_relu : float32[N, 16, 4, 4] = aten.leaky_relu.default(conv2d_2)
avg_pool2d : float32[N, 16, 2, 2] = aten.avg_pool2d.default(leaky_relu, [2, 2])
view : float32[N, 64] = aten.reshape.default(avg_pool2d, [sym_size_int_1, 64])
linear : float32[N, 3] = aten.linear.default(view, head_weight, head_bias)
return [linear]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 16, 4, 4]
tensor conv2d__bias_2623 : float32[16]
tensor conv2d__bias_2623_1 : float32[16]
tensor conv2d__bias_2623_2 : float32[16]
tensor conv2d__weight_2623 : float32[16, 1, 1, 1]
tensor conv2d__weight_2623_1 : float32[16, 1, 1, 1]
tensor conv2d__weight_2623_2 : float32[16, 1, 1, 1]
tensor conv2d__weight_2623_3 : float32[3, 64]
tensor head_bias : float32[3]
interface {"outputs": ["linear"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d__conv2d_2623 : float32[N, 16, 4, 4] = aten.conv2d.default(inputs_0, conv2d__weight_2623, conv2d__bias_2623, [1, 1], [0, 0], [1, 1], 16)
conv2d__relu_2623 : float32[N, 16, 4, 4] = aten.relu.default(conv2d__conv2d_2623)
conv2d__conv2d_2623_1 : float32[N, 16, 4, 4] = aten.conv2d.default(conv2d__relu_2623, conv2d__weight_2623_1, conv2d__bias_2623_1, [1, 1], [0, 0], [1, 1], 16)
conv2d__relu_2623_1 : float32[N, 16, 4, 4] = aten.relu.default(conv2d__conv2d_2623_1)
conv2d__conv2d_2623_2 : float32[N, 16, 4, 4] = aten.conv2d.default(conv2d__relu_2623_1, conv2d__weight_2623_2, conv2d__bias_2623_2, [1, 1], [0, 0], [1, 1], 16)
conv2d__leaky_relu_2623 : float32[N, 16, 4, 4] = aten.leaky_relu.default(conv2d__conv2d_2623_2)
conv2d__avg_pool2d_2623 : float32[N, 16, 2, 2] = aten.avg_pool2d.default(conv2d__leaky_relu_2623, [2, 2])
sym_size_int_1 : int = aten.sym_size.int(inputs_0, 0)
conv2d__reshape_2623 : float32[N, 64] = aten.reshape.default(conv2d__avg_pool2d_2623, [sym_size_int_1, 64])
conv2d__linear_2623 : float32[N, 3] = aten.linear.default(conv2d__reshape_2623, conv2d__weight_2623_3, head_bias)
return [conv2d__linear_2623]
== declines
