fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 3, 16, 16]
tensor n0_bias : float32[48]
tensor n0_weight : float32[48, 3, 3, 3]
tensor n1_narrow_0_weight : float32[48, 48, 1, 1]
tensor n1_narrow_1_bias : float32[48]
tensor n1_narrow_1_running_mean : float32[48]
tensor n1_narrow_1_running_var : float32[48]
tensor n1_narrow_1_weight : float32[48]
tensor n1_same_bias : float32[48]
tensor n1_same_running_mean : float32[48]
tensor n1_same_running_var : float32[48]
tensor n1_same_weight : float32[48]
tensor n1_wide_0_weight : float32[48, 48, 3, 3]
tensor n1_wide_1_bias : float32[48]
tensor n1_wide_1_running_mean : float32[48]
tensor n1_wide_1_running_var : float32[48]
tensor n1_wide_1_weight : float32[48]
tensor n2_narrow_0_weight : float32[48, 48, 1, 1]
tensor n2_narrow_1_bias : float32[48]
tensor n2_narrow_1_running_mean : float32[48]
tensor n2_narrow_1_running_var : float32[48]
tensor n2_narrow_1_weight : float32[48]
tensor n2_same_bias : float32[48]
tensor n2_same_running_mean : float32[48]
tensor n2_same_running_var : float32[48]
tensor n2_same_weight : float32[48]
tensor n2_wide_0_weight : float32[48, 48, 3, 3]
tensor n2_wide_1_bias : float32[48]
tensor n2_wide_1_running_mean : float32[48]
tensor n2_wide_1_running_var : float32[48]
tensor n2_wide_1_weight : float32[48]
tensor n3_bias : float32[64]
tensor n3_weight : float32[64, 48, 1, 1]
tensor n4_a_bias : float32[32]
tensor n4_a_weight : float32[32, 64, 1, 1]
tensor n4_b1_bias : float32[16]
tensor n4_b1_weight : float32[16, 64, 1, 1]
tensor n4_b2_bias : float32[16]
tensor n4_b2_weight : float32[16, 16, 3, 3]
tensor n4_c1_bias : float32[16]
tensor n4_c1_weight : float32[16, 64, 1, 1]
tensor n4_c2_bias : float32[16]
tensor n4_c2_weight : float32[16, 16, 3, 3]
interface {"outputs": ["cat"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[N, 48, 16, 16] = aten.conv2d.default(input_1, n0_weight, n0_bias, [1, 1], [1, 1])
conv2d_1 : float32[N, 48, 16, 16] = aten.conv2d.default(conv2d, n1_wide_0_weight, None, [1, 1], [1, 1])
batch_norm : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d_1, n1_wide_1_weight, n1_wide_1_bias, n1_wide_1_running_mean, n1_wide_1_running_var, False, 0.1, 1e-05, False)
conv2d_2 : float32[N, 48, 16, 16] = aten.conv2d.default(conv2d, n1_narrow_0_weight)
batch_norm_1 : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d_2, n1_narrow_1_weight, n1_narrow_1_bias, n1_narrow_1_running_mean, n1_narrow_1_running_var, False, 0.1, 1e-05, False)
add_25 : float32[N, 48, 16, 16] = aten.add.Tensor(batch_norm, batch_norm_1)
batch_norm_2 : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d, n1_same_weight, n1_same_bias, n1_same_running_mean, n1_same_running_var, False, 0.1, 1e-05, False)
add_36 : float32[N, 48, 16, 16] = aten.add.Tensor(add_25, batch_norm_2)
relu : float32[N, 48, 16, 16] = aten.relu.default(add_36)
conv2d_3 : float32[N, 48, 16, 16] = aten.conv2d.default(relu, n2_wide_0_weight, None, [1, 1], [1, 1])
batch_norm_3 : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d_3, n2_wide_1_weight, n2_wide_1_bias, n2_wide_1_running_mean, n2_wide_1_running_var, False, 0.1, 1e-05, False)
conv2d_4 : float32[N, 48, 16, 16] = aten.conv2d.default(relu, n2_narrow_0_weight)
batch_norm_4 : float32[N, 48, 16, 16] = aten.batch_norm.default(conv2d_4, n2_narrow_1_weight, n2_narrow_1_bias, n2_narrow_1_running_mean, n2_narrow_1_running_var, False, 0.1, 1e-05, False)
add_67 : float32[N, 48, 16, 16] = aten.add.Tensor(batch_norm_3, batch_norm_4)
batch_norm_5 : float32[N, 48, 16, 16] = aten.batch_norm.default(relu, n2_same_weight, n2_same_bias, n2_same_running_mean, n2_same_running_var, False, 0.1, 1e-05, False)
add_78 : float32[N, 48, 16, 16] = aten.add.Tensor(add_67, batch_norm_5)
relu_1 : float32[N, 48, 16, 16] = aten.relu.default(add_78)
conv2d_5 : float32[N, 64, 16, 16] = aten.conv2d.default(relu_1, n3_weight, n3_bias)
conv2d_6 : float32[N, 32, 16, 16] = aten.conv2d.default(conv2d_5, n4_a_weight, n4_a_bias)
conv2d_7 : float32[N, 16, 16, 16] = aten.conv2d.default(conv2d_5, n4_b1_weight, n4_b1_bias)
relu_2 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_7)
conv2d_8 : float32[N, 16, 16, 16] = aten.conv2d.default(relu_2, n4_b2_weight, n4_b2_bias, [1, 1], [1, 1])
conv2d_9 : float32[N, 16, 16, 16] = aten.conv2d.default(conv2d_5, n4_c1_weight, n4_c1_bias)
relu_3 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_9)
conv2d_10 : float32[N, 16, 16, 16] = aten.conv2d.default(relu_3, n4_c2_weight, n4_c2_bias, [1, 1], [1, 1])
relu_4 : float32[N, 32, 16, 16] = aten.relu.default(conv2d_6)
relu_5 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_8)
relu_6 : float32[N, 16, 16, 16] = aten.relu.default(conv2d_10)
cat : float32[N, 64, 16, 16] = aten.cat.default([relu_4, relu_5, relu_6], 1)
return [cat]
