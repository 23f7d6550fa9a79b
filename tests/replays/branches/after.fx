fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 3, 16, 16]
tensor add_36__bias_f802 : float32[48]
tensor add_36__weight_f802 : float32[48, 48, 3, 3]
tensor add_78__bias_b1bc : float32[48]
tensor add_78__weight_b1bc : float32[48, 48, 3, 3]
tensor conv2d_6__bias_0245 : float32[64]
tensor conv2d_6__weight_0245 : float32[64, 48, 1, 1]
tensor n0_bias : float32[48]
tensor n0_weight : float32[48, 3, 3, 3]
tensor n1_same_bias : float32[48]
tensor n1_same_running_mean : float32[48]
tensor n1_same_running_var : float32[48]
tensor n1_same_weight : float32[48]
tensor n4_b2_bias : float32[16]
tensor n4_b2_weight : float32[16, 16, 3, 3]
tensor n4_c2_bias : float32[16]
tensor n4_c2_weight : float32[16, 16, 3, 3]
interface {"outputs": ["cat"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[N, 48, 16, 16] = aten.conv2d.default(input_1, n0_weight, n0_bias, [1, 1], [1, 1])
add_36__conv2d_f802 : float32[N, 48, 16, 16] = aten.conv2d.default(conv2d, add_36__weight_f802, add_36__bias_f802, [1, 1], [1, 1])
batch_norm_2 : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d, n1_same_weight, n1_same_bias, n1_same_running_mean, n1_same_running_var, False, 0.1, 1e-05, False)
add_36__add_f802 : float32[N, 48, 16, 16] = aten.add.Tensor(add_36__conv2d_f802, batch_norm_2)
relu : float32[N, 48, 16, 16] = aten.relu.default(add_36__add_f802)
add_78__conv2d_b1bc : float32[N, 48, 16, 16] = aten.conv2d.default(relu, add_78__weight_b1bc, add_78__bias_b1bc, [1, 1], [1, 1])
relu_1 : float32[N, 48, 16, 16] = aten.relu.default(add_78__conv2d_b1bc)
conv2d_6__conv2d_0245 : float32[N, 64, 16, 16] = aten.conv2d.default(relu_1, conv2d_6__weight_0245, conv2d_6__bias_0245)
conv2d_6__relu_28d4 : float32[N, 64, 16, 16] = aten.relu.default(conv2d_6__conv2d_0245)
conv2d_6__split_28d4 : (float32[N, 32, 16, 16], float32[N, 16, 16, 16], float32[N, 16, 16, 16]) = aten.split_with_sizes.default(conv2d_6__relu_28d4, [32, 16, 16], 1)
conv2d_6__part_28d4_2 : float32[N, 16, 16, 16] = operator.getitem(conv2d_6__split_28d4, 2)
conv2d_6__part_28d4_1 : float32[N, 16, 16, 16] = operator.getitem(conv2d_6__split_28d4, 1)
conv2d_6__part_28d4 : float32[N, 32, 16, 16] = operator.getitem(conv2d_6__split_28d4, 0)
conv2d_8 : float32[N, 16, 16, 16] = aten.conv2d.default(conv2d_6__part_28d4_1, n4_b2_weight, n4_b2_bias, [1, 1], [1, 1])
conv2d_10 : float32[N, 16, 16, 16] = aten.conv2d.default(conv2d_6__part_28d4_2, n4_c2_weight, n4_c2_bias, [1, 1], [1, 1])
relu_5 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_8)
relu_6 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_10)
cat : float32[N, 64, 16, 16] = aten.cat.default([conv2d_6__part_28d4, relu_5, relu_6], 1)
return [cat]
