fxopt program 1
dim N = 1..16 @ 2
input x : float32[N, 3, 64, 64]
tensor classifier_1_bias : float32[10]
tensor classifier_1_weight : float32[10, 1280]
tensor features_0_0_weight : float32[32, 3, 3, 3]
tensor features_0_1_bias : float32[32]
tensor features_0_1_running_mean : float32[32]
tensor features_0_1_running_var : float32[32]
tensor features_0_1_weight : float32[32]
tensor features_10_conv_0_0_weight : float32[384, 64, 1, 1]
tensor features_10_conv_0_1_bias : float32[384]
tensor features_10_conv_0_1_running_mean : float32[384]
tensor features_10_conv_0_1_running_var : float32[384]
tensor features_10_conv_0_1_weight : float32[384]
tensor features_10_conv_1_0_weight : float32[384, 1, 3, 3]
tensor features_10_conv_1_1_bias : float32[384]
tensor features_10_conv_1_1_running_mean : float32[384]
tensor features_10_conv_1_1_running_var : float32[384]
tensor features_10_conv_1_1_weight : float32[384]
tensor features_10_conv_2_weight : float32[64, 384, 1, 1]
tensor features_10_conv_3_bias : float32[64]
tensor features_10_conv_3_running_mean : float32[64]
tensor features_10_conv_3_running_var : float32[64]
tensor features_10_conv_3_weight : float32[64]
tensor features_11_conv_0_0_weight : float32[384, 64, 1, 1]
tensor features_11_conv_0_1_bias : float32[384]
tensor features_11_conv_0_1_running_mean : float32[384]
tensor features_11_conv_0_1_running_var : float32[384]
tensor features_11_conv_0_1_weight : float32[384]
tensor features_11_conv_1_0_weight : float32[384, 1, 3, 3]
tensor features_11_conv_1_1_bias : float32[384]
tensor features_11_conv_1_1_running_mean : float32[384]
tensor features_11_conv_1_1_running_var : float32[384]
tensor features_11_conv_1_1_weight : float32[384]
tensor features_11_conv_2_weight : float32[96, 384, 1, 1]
tensor features_11_conv_3_bias : float32[96]
tensor features_11_conv_3_running_mean : float32[96]
tensor features_11_conv_3_running_var : float32[96]
tensor features_11_conv_3_weight : float32[96]
tensor features_12_conv_0_0_weight : float32[576, 96, 1, 1]
tensor features_12_conv_0_1_bias : float32[576]
tensor features_12_conv_0_1_running_mean : float32[576]
tensor features_12_conv_0_1_running_var : float32[576]
tensor features_12_conv_0_1_weight : float32[576]
tensor features_12_conv_1_0_weight : float32[576, 1, 3, 3]
tensor features_12_conv_1_1_bias : float32[576]
tensor features_12_conv_1_1_running_mean : float32[576]
tensor features_12_conv_1_1_running_var : float32[576]
tensor features_12_conv_1_1_weight : float32[576]
tensor features_12_conv_2_weight : float32[96, 576, 1, 1]
tensor features_12_conv_3_bias : float32[96]
tensor features_12_conv_3_running_mean : float32[96]
tensor features_12_conv_3_running_var : float32[96]
tensor features_12_conv_3_weight : float32[96]
tensor features_13_conv_0_0_weight : float32[576, 96, 1, 1]
tensor features_13_conv_0_1_bias : float32[576]
tensor features_13_conv_0_1_running_mean : float32[576]
tensor features_13_conv_0_1_running_var : float32[576]
tensor features_13_conv_0_1_weight : float32[576]
tensor features_13_conv_1_0_weight : float32[576, 1, 3, 3]
tensor features_13_conv_1_1_bias : float32[576]
tensor features_13_conv_1_1_running_mean : float32[576]
tensor features_13_conv_1_1_running_var : float32[576]
tensor features_13_conv_1_1_weight : float32[576]
tensor features_13_conv_2_weight : float32[96, 576, 1, 1]
tensor features_13_conv_3_bias : float32[96]
tensor features_13_conv_3_running_mean : float32[96]
tensor features_13_conv_3_running_var : float32[96]
tensor features_13_conv_3_weight : float32[96]
tensor features_14_conv_0_0_weight : float32[576, 96, 1, 1]
tensor features_14_conv_0_1_bias : float32[576]
tensor features_14_conv_0_1_running_mean : float32[576]
tensor features_14_conv_0_1_running_var : float32[576]
tensor features_14_conv_0_1_weight : float32[576]
tensor features_14_conv_1_0_weight : float32[576, 1, 3, 3]
tensor features_14_conv_1_1_bias : float32[576]
tensor features_14_conv_1_1_running_mean : float32[576]
tensor features_14_conv_1_1_running_var : float32[576]
tensor features_14_conv_1_1_weight : float32[576]
tensor features_14_conv_2_weight : float32[160, 576, 1, 1]
tensor features_14_conv_3_bias : float32[160]
tensor features_14_conv_3_running_mean : float32[160]
tensor features_14_conv_3_running_var : float32[160]
tensor features_14_conv_3_weight : float32[160]
tensor features_15_conv_0_0_weight : float32[960, 160, 1, 1]
tensor features_15_conv_0_1_bias : float32[960]
tensor features_15_conv_0_1_running_mean : float32[960]
tensor features_15_conv_0_1_running_var : float32[960]
tensor features_15_conv_0_1_weight : float32[960]
tensor features_15_conv_1_0_weight : float32[960, 1, 3, 3]
tensor features_15_conv_1_1_bias : float32[960]
tensor features_15_conv_1_1_running_mean : float32[960]
tensor features_15_conv_1_1_running_var : float32[960]
tensor features_15_conv_1_1_weight : float32[960]
tensor features_15_conv_2_weight : float32[160, 960, 1, 1]
tensor features_15_conv_3_bias : float32[160]
tensor features_15_conv_3_running_mean : float32[160]
tensor features_15_conv_3_running_var : float32[160]
tensor features_15_conv_3_weight : float32[160]
tensor features_16_conv_0_0_weight : float32[960, 160, 1, 1]
tensor features_16_conv_0_1_bias : float32[960]
tensor features_16_conv_0_1_running_mean : float32[960]
tensor features_16_conv_0_1_running_var : float32[960]
tensor features_16_conv_0_1_weight : float32[960]
tensor features_16_conv_1_0_weight : float32[960, 1, 3, 3]
tensor features_16_conv_1_1_bias : float32[960]
tensor features_16_conv_1_1_running_mean : float32[960]
tensor features_16_conv_1_1_running_var : float32[960]
tensor features_16_conv_1_1_weight : float32[960]
tensor features_16_conv_2_weight : float32[160, 960, 1, 1]
tensor features_16_conv_3_bias : float32[160]
tensor features_16_conv_3_running_mean : float32[160]
tensor features_16_conv_3_running_var : float32[160]
tensor features_16_conv_3_weight : float32[160]
tensor features_17_conv_0_0_weight : float32[960, 160, 1, 1]
tensor features_17_conv_0_1_bias : float32[960]
tensor features_17_conv_0_1_running_mean : float32[960]
tensor features_17_conv_0_1_running_var : float32[960]
tensor features_17_conv_0_1_weight : float32[960]
tensor features_17_conv_1_0_weight : float32[960, 1, 3, 3]
tensor features_17_conv_1_1_bias : float32[960]
tensor features_17_conv_1_1_running_mean : float32[960]
tensor features_17_conv_1_1_running_var : float32[960]
tensor features_17_conv_1_1_weight : float32[960]
tensor features_17_conv_2_weight : float32[320, 960, 1, 1]
tensor features_17_conv_3_bias : float32[320]
tensor features_17_conv_3_running_mean : float32[320]
tensor features_17_conv_3_running_var : float32[320]
tensor features_17_conv_3_weight : float32[320]
tensor features_18_0_weight : float32[1280, 320, 1, 1]
tensor features_18_1_bias : float32[1280]
tensor features_18_1_running_mean : float32[1280]
tensor features_18_1_running_var : float32[1280]
tensor features_18_1_weight : float32[1280]
tensor features_1_conv_0_0_weight : float32[32, 1, 3, 3]
tensor features_1_conv_0_1_bias : float32[32]
tensor features_1_conv_0_1_running_mean : float32[32]
tensor features_1_conv_0_1_running_var : float32[32]
tensor features_1_conv_0_1_weight : float32[32]
tensor features_1_conv_1_weight : float32[16, 32, 1, 1]
tensor features_1_conv_2_bias : float32[16]
tensor features_1_conv_2_running_mean : float32[16]
tensor features_1_conv_2_running_var : float32[16]
tensor features_1_conv_2_weight : float32[16]
tensor features_2_conv_0_0_weight : float32[96, 16, 1, 1]
tensor features_2_conv_0_1_bias : float32[96]
tensor features_2_conv_0_1_running_mean : float32[96]
tensor features_2_conv_0_1_running_var : float32[96]
tensor features_2_conv_0_1_weight : float32[96]
tensor features_2_conv_1_0_weight : float32[96, 1, 3, 3]
tensor features_2_conv_1_1_bias : float32[96]
tensor features_2_conv_1_1_running_mean : float32[96]
tensor features_2_conv_1_1_running_var : float32[96]
tensor features_2_conv_1_1_weight : float32[96]
tensor features_2_conv_2_weight : float32[24, 96, 1, 1]
tensor features_2_conv_3_bias : float32[24]
tensor features_2_conv_3_running_mean : float32[24]
tensor features_2_conv_3_running_var : float32[24]
tensor features_2_conv_3_weight : float32[24]
tensor features_3_conv_0_0_weight : float32[144, 24, 1, 1]
tensor features_3_conv_0_1_bias : float32[144]
tensor features_3_conv_0_1_running_mean : float32[144]
tensor features_3_conv_0_1_running_var : float32[144]
tensor features_3_conv_0_1_weight : float32[144]
tensor features_3_conv_1_0_weight : float32[144, 1, 3, 3]
tensor features_3_conv_1_1_bias : float32[144]
tensor features_3_conv_1_1_running_mean : float32[144]
tensor features_3_conv_1_1_running_var : float32[144]
tensor features_3_conv_1_1_weight : float32[144]
tensor features_3_conv_2_weight : float32[24, 144, 1, 1]
tensor features_3_conv_3_bias : float32[24]
tensor features_3_conv_3_running_mean : float32[24]
tensor features_3_conv_3_running_var : float32[24]
tensor features_3_conv_3_weight : float32[24]
tensor features_4_conv_0_0_weight : float32[144, 24, 1, 1]
tensor features_4_conv_0_1_bias : float32[144]
tensor features_4_conv_0_1_running_mean : float32[144]
tensor features_4_conv_0_1_running_var : float32[144]
tensor features_4_conv_0_1_weight : float32[144]
tensor features_4_conv_1_0_weight : float32[144, 1, 3, 3]
tensor features_4_conv_1_1_bias : float32[144]
tensor features_4_conv_1_1_running_mean : float32[144]
tensor features_4_conv_1_1_running_var : float32[144]
tensor features_4_conv_1_1_weight : float32[144]
tensor features_4_conv_2_weight : float32[32, 144, 1, 1]
tensor features_4_conv_3_bias : float32[32]
tensor features_4_conv_3_running_mean : float32[32]
tensor features_4_conv_3_running_var : float32[32]
tensor features_4_conv_3_weight : float32[32]
tensor features_5_conv_0_0_weight : float32[192, 32, 1, 1]
tensor features_5_conv_0_1_bias : float32[192]
tensor features_5_conv_0_1_running_mean : float32[192]
tensor features_5_conv_0_1_running_var : float32[192]
tensor features_5_conv_0_1_weight : float32[192]
tensor features_5_conv_1_0_weight : float32[192, 1, 3, 3]
tensor features_5_conv_1_1_bias : float32[192]
tensor features_5_conv_1_1_running_mean : float32[192]
tensor features_5_conv_1_1_running_var : float32[192]
tensor features_5_conv_1_1_weight : float32[192]
tensor features_5_conv_2_weight : float32[32, 192, 1, 1]
tensor features_5_conv_3_bias : float32[32]
tensor features_5_conv_3_running_mean : float32[32]
tensor features_5_conv_3_running_var : float32[32]
tensor features_5_conv_3_weight : float32[32]
tensor features_6_conv_0_0_weight : float32[192, 32, 1, 1]
tensor features_6_conv_0_1_bias : float32[192]
tensor features_6_conv_0_1_running_mean : float32[192]
tensor features_6_conv_0_1_running_var : float32[192]
tensor features_6_conv_0_1_weight : float32[192]
tensor features_6_conv_1_0_weight : float32[192, 1, 3, 3]
tensor features_6_conv_1_1_bias : float32[192]
tensor features_6_conv_1_1_running_mean : float32[192]
tensor features_6_conv_1_1_running_var : float32[192]
tensor features_6_conv_1_1_weight : float32[192]
tensor features_6_conv_2_weight : float32[32, 192, 1, 1]
tensor features_6_conv_3_bias : float32[32]
tensor features_6_conv_3_running_mean : float32[32]
tensor features_6_conv_3_running_var : float32[32]
tensor features_6_conv_3_weight : float32[32]
tensor features_7_conv_0_0_weight : float32[192, 32, 1, 1]
tensor features_7_conv_0_1_bias : float32[192]
tensor features_7_conv_0_1_running_mean : float32[192]
tensor features_7_conv_0_1_running_var : float32[192]
tensor features_7_conv_0_1_weight : float32[192]
tensor features_7_conv_1_0_weight : float32[192, 1, 3, 3]
tensor features_7_conv_1_1_bias : float32[192]
tensor features_7_conv_1_1_running_mean : float32[192]
tensor features_7_conv_1_1_running_var : float32[192]
tensor features_7_conv_1_1_weight : float32[192]
tensor features_7_conv_2_weight : float32[64, 192, 1, 1]
tensor features_7_conv_3_bias : float32[64]
tensor features_7_conv_3_running_mean : float32[64]
tensor features_7_conv_3_running_var : float32[64]
tensor features_7_conv_3_weight : float32[64]
tensor features_8_conv_0_0_weight : float32[384, 64, 1, 1]
tensor features_8_conv_0_1_bias : float32[384]
tensor features_8_conv_0_1_running_mean : float32[384]
tensor features_8_conv_0_1_running_var : float32[384]
tensor features_8_conv_0_1_weight : float32[384]
tensor features_8_conv_1_0_weight : float32[384, 1, 3, 3]
tensor features_8_conv_1_1_bias : float32[384]
tensor features_8_conv_1_1_running_mean : float32[384]
tensor features_8_conv_1_1_running_var : float32[384]
tensor features_8_conv_1_1_weight : float32[384]
tensor features_8_conv_2_weight : float32[64, 384, 1, 1]
tensor features_8_conv_3_bias : float32[64]
tensor features_8_conv_3_running_mean : float32[64]
tensor features_8_conv_3_running_var : float32[64]
tensor features_8_conv_3_weight : float32[64]
tensor features_9_conv_0_0_weight : float32[384, 64, 1, 1]
tensor features_9_conv_0_1_bias : float32[384]
tensor features_9_conv_0_1_running_mean : float32[384]
tensor features_9_conv_0_1_running_var : float32[384]
tensor features_9_conv_0_1_weight : float32[384]
tensor features_9_conv_1_0_weight : float32[384, 1, 3, 3]
tensor features_9_conv_1_1_bias : float32[384]
tensor features_9_conv_1_1_running_mean : float32[384]
tensor features_9_conv_1_1_running_var : float32[384]
tensor features_9_conv_1_1_weight : float32[384]
tensor features_9_conv_2_weight : float32[64, 384, 1, 1]
tensor features_9_conv_3_bias : float32[64]
tensor features_9_conv_3_running_mean : float32[64]
tensor features_9_conv_3_running_var : float32[64]
tensor features_9_conv_3_weight : float32[64]
interface {"outputs": ["linear"], "parameters": ["x"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
conv2d : float32[N, 32, 32, 32] = aten.conv2d.default(x, features_0_0_weight, None, [2, 2], [1, 1])
batch_norm : float32[N, 32, 32, 32] = aten.batch_norm.default(conv2d, features_0_1_weight, features_0_1_bias, features_0_1_running_mean, features_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh : float32[N, 32, 32, 32] = aten.hardtanh.default(batch_norm, 0.0, 6.0)
conv2d_1 : float32[N, 32, 32, 32] = aten.conv2d.default(hardtanh, features_1_conv_0_0_weight, None, [1, 1], [1, 1], [1, 1], 32)
batch_norm_1 : float32[N, 32, 32, 32] = aten.batch_norm.default(conv2d_1, features_1_conv_0_1_weight, features_1_conv_0_1_bias, features_1_conv_0_1_running_mean, features_1_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_1 : float32[N, 32, 32, 32] = aten.hardtanh.default(batch_norm_1, 0.0, 6.0)
conv2d_2 : float32[N, 16, 32, 32] = aten.conv2d.default(hardtanh_1, features_1_conv_1_weight)
batch_norm_2 : float32[N, 16, 32, 32] = aten.batch_norm.default(conv2d_2, features_1_conv_2_weight, features_1_conv_2_bias, features_1_conv_2_running_mean, features_1_conv_2_running_var, False, 0.1, 1e-05, False)
conv2d_3 : float32[N, 96, 32, 32] = aten.conv2d.default(batch_norm_2, features_2_conv_0_0_weight)
batch_norm_3 : float32[N, 96, 32, 32] = aten.batch_norm.default(conv2d_3, features_2_conv_0_1_weight, features_2_conv_0_1_bias, features_2_conv_0_1_running_mean, features_2_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_2 : float32[N, 96, 32, 32] = aten.hardtanh.default(batch_norm_3, 0.0, 6.0)
conv2d_4 : float32[N, 96, 16, 16] = aten.conv2d.default(hardtanh_2, features_2_conv_1_0_weight, None, [2, 2], [1, 1], [1, 1], 96)
batch_norm_4 : float32[N, 96, 16, 16] = aten.batch_norm.default(conv2d_4, features_2_conv_1_1_weight, features_2_conv_1_1_bias, features_2_conv_1_1_running_mean, features_2_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_3 : float32[N, 96, 16, 16] = aten.hardtanh.default(batch_norm_4, 0.0, 6.0)
conv2d_5 : float32[N, 24, 16, 16] = aten.conv2d.default(hardtanh_3, features_2_conv_2_weight)
batch_norm_5 : float32[N, 24, 16, 16] = aten.batch_norm.default(conv2d_5, features_2_conv_3_weight, features_2_conv_3_bias, features_2_conv_3_running_mean, features_2_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_6 : float32[N, 144, 16, 16] = aten.conv2d.default(batch_norm_5, features_3_conv_0_0_weight)
batch_norm_6 : float32[N, 144, 16, 16] = aten.batch_norm.default(conv2d_6, features_3_conv_0_1_weight, features_3_conv_0_1_bias, features_3_conv_0_1_running_mean, features_3_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_4 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_6, 0.0, 6.0)
conv2d_7 : float32[N, 144, 16, 16] = aten.conv2d.default(hardtanh_4, features_3_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 144)
batch_norm_7 : float32[N, 144, 16, 16] = aten.batch_norm.default(conv2d_7, features_3_conv_1_1_weight, features_3_conv_1_1_bias, features_3_conv_1_1_running_mean, features_3_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_5 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_7, 0.0, 6.0)
conv2d_8 : float32[N, 24, 16, 16] = aten.conv2d.default(hardtanh_5, features_3_conv_2_weight)
batch_norm_8 : float32[N, 24, 16, 16] = aten.batch_norm.default(conv2d_8, features_3_conv_3_weight, features_3_conv_3_bias, features_3_conv_3_running_mean, features_3_conv_3_running_var, False, 0.1, 1e-05, False)
add_198 : float32[N, 24, 16, 16] = aten.add.Tensor(batch_norm_5, batch_norm_8)
conv2d_9 : float32[N, 144, 16, 16] = aten.conv2d.default(add_198, features_4_conv_0_0_weight)
batch_norm_9 : float32[N, 144, 16, 16] = aten.batch_norm.default(conv2d_9, features_4_conv_0_1_weight, features_4_conv_0_1_bias, features_4_conv_0_1_running_mean, features_4_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_6 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_9, 0.0, 6.0)
conv2d_10 : float32[N, 144, 8, 8] = aten.conv2d.default(hardtanh_6, features_4_conv_1_0_weight, None, [2, 2], [1, 1], [1, 1], 144)
batch_norm_10 : float32[N, 144, 8, 8] = aten.batch_norm.default(conv2d_10, features_4_conv_1_1_weight, features_4_conv_1_1_bias, features_4_conv_1_1_running_mean, features_4_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_7 : float32[N, 144, 8, 8] = aten.hardtanh.default(batch_norm_10, 0.0, 6.0)
conv2d_11 : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_7, features_4_conv_2_weight)
batch_norm_11 : float32[N, 32, 8, 8] = aten.batch_norm.default(conv2d_11, features_4_conv_3_weight, features_4_conv_3_bias, features_4_conv_3_running_mean, features_4_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_12 : float32[N, 192, 8, 8] = aten.conv2d.default(batch_norm_11, features_5_conv_0_0_weight)
batch_norm_12 : float32[N, 192, 8, 8] = aten.batch_norm.default(conv2d_12, features_5_conv_0_1_weight, features_5_conv_0_1_bias, features_5_conv_0_1_running_mean, features_5_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_8 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_12, 0.0, 6.0)
conv2d_13 : float32[N, 192, 8, 8] = aten.conv2d.default(hardtanh_8, features_5_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 192)
batch_norm_13 : float32[N, 192, 8, 8] = aten.batch_norm.default(conv2d_13, features_5_conv_1_1_weight, features_5_conv_1_1_bias, features_5_conv_1_1_running_mean, features_5_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_9 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_13, 0.0, 6.0)
conv2d_14 : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_9, features_5_conv_2_weight)
batch_norm_14 : float32[N, 32, 8, 8] = aten.batch_norm.default(conv2d_14, features_5_conv_3_weight, features_5_conv_3_bias, features_5_conv_3_running_mean, features_5_conv_3_running_var, False, 0.1, 1e-05, False)
add_336 : float32[N, 32, 8, 8] = aten.add.Tensor(batch_norm_11, batch_norm_14)
conv2d_15 : float32[N, 192, 8, 8] = aten.conv2d.default(add_336, features_6_conv_0_0_weight)
batch_norm_15 : float32[N, 192, 8, 8] = aten.batch_norm.default(conv2d_15, features_6_conv_0_1_weight, features_6_conv_0_1_bias, features_6_conv_0_1_running_mean, features_6_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_10 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_15, 0.0, 6.0)
conv2d_16 : float32[N, 192, 8, 8] = aten.conv2d.default(hardtanh_10, features_6_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 192)
batch_norm_16 : float32[N, 192, 8, 8] = aten.batch_norm.default(conv2d_16, features_6_conv_1_1_weight, features_6_conv_1_1_bias, features_6_conv_1_1_running_mean, features_6_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_11 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_16, 0.0, 6.0)
conv2d_17 : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_11, features_6_conv_2_weight)
batch_norm_17 : float32[N, 32, 8, 8] = aten.batch_norm.default(conv2d_17, features_6_conv_3_weight, features_6_conv_3_bias, features_6_conv_3_running_mean, features_6_conv_3_running_var, False, 0.1, 1e-05, False)
add_408 : float32[N, 32, 8, 8] = aten.add.Tensor(add_336, batch_norm_17)
conv2d_18 : float32[N, 192, 8, 8] = aten.conv2d.default(add_408, features_7_conv_0_0_weight)
batch_norm_18 : float32[N, 192, 8, 8] = aten.batch_norm.default(conv2d_18, features_7_conv_0_1_weight, features_7_conv_0_1_bias, features_7_conv_0_1_running_mean, features_7_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_12 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_18, 0.0, 6.0)
conv2d_19 : float32[N, 192, 4, 4] = aten.conv2d.default(hardtanh_12, features_7_conv_1_0_weight, None, [2, 2], [1, 1], [1, 1], 192)
batch_norm_19 : float32[N, 192, 4, 4] = aten.batch_norm.default(conv2d_19, features_7_conv_1_1_weight, features_7_conv_1_1_bias, features_7_conv_1_1_running_mean, features_7_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_13 : float32[N, 192, 4, 4] = aten.hardtanh.default(batch_norm_19, 0.0, 6.0)
conv2d_20 : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_13, features_7_conv_2_weight)
batch_norm_20 : float32[N, 64, 4, 4] = aten.batch_norm.default(conv2d_20, features_7_conv_3_weight, features_7_conv_3_bias, features_7_conv_3_running_mean, features_7_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_21 : float32[N, 384, 4, 4] = aten.conv2d.default(batch_norm_20, features_8_conv_0_0_weight)
batch_norm_21 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_21, features_8_conv_0_1_weight, features_8_conv_0_1_bias, features_8_conv_0_1_running_mean, features_8_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_14 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_21, 0.0, 6.0)
conv2d_22 : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_14, features_8_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 384)
batch_norm_22 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_22, features_8_conv_1_1_weight, features_8_conv_1_1_bias, features_8_conv_1_1_running_mean, features_8_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_15 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_22, 0.0, 6.0)
conv2d_23 : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_15, features_8_conv_2_weight)
batch_norm_23 : float32[N, 64, 4, 4] = aten.batch_norm.default(conv2d_23, features_8_conv_3_weight, features_8_conv_3_bias, features_8_conv_3_running_mean, features_8_conv_3_running_var, False, 0.1, 1e-05, False)
add_546 : float32[N, 64, 4, 4] = aten.add.Tensor(batch_norm_20, batch_norm_23)
conv2d_24 : float32[N, 384, 4, 4] = aten.conv2d.default(add_546, features_9_conv_0_0_weight)
batch_norm_24 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_24, features_9_conv_0_1_weight, features_9_conv_0_1_bias, features_9_conv_0_1_running_mean, features_9_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_16 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_24, 0.0, 6.0)
conv2d_25 : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_16, features_9_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 384)
batch_norm_25 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_25, features_9_conv_1_1_weight, features_9_conv_1_1_bias, features_9_conv_1_1_running_mean, features_9_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_17 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_25, 0.0, 6.0)
conv2d_26 : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_17, features_9_conv_2_weight)
batch_norm_26 : float32[N, 64, 4, 4] = aten.batch_norm.default(conv2d_26, features_9_conv_3_weight, features_9_conv_3_bias, features_9_conv_3_running_mean, features_9_conv_3_running_var, False, 0.1, 1e-05, False)
add_618 : float32[N, 64, 4, 4] = aten.add.Tensor(add_546, batch_norm_26)
conv2d_27 : float32[N, 384, 4, 4] = aten.conv2d.default(add_618, features_10_conv_0_0_weight)
batch_norm_27 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_27, features_10_conv_0_1_weight, features_10_conv_0_1_bias, features_10_conv_0_1_running_mean, features_10_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_18 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_27, 0.0, 6.0)
conv2d_28 : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_18, features_10_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 384)
batch_norm_28 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_28, features_10_conv_1_1_weight, features_10_conv_1_1_bias, features_10_conv_1_1_running_mean, features_10_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_19 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_28, 0.0, 6.0)
conv2d_29 : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_19, features_10_conv_2_weight)
batch_norm_29 : float32[N, 64, 4, 4] = aten.batch_norm.default(conv2d_29, features_10_conv_3_weight, features_10_conv_3_bias, features_10_conv_3_running_mean, features_10_conv_3_running_var, False, 0.1, 1e-05, False)
add_690 : float32[N, 64, 4, 4] = aten.add.Tensor(add_618, batch_norm_29)
conv2d_30 : float32[N, 384, 4, 4] = aten.conv2d.default(add_690, features_11_conv_0_0_weight)
batch_norm_30 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_30, features_11_conv_0_1_weight, features_11_conv_0_1_bias, features_11_conv_0_1_running_mean, features_11_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_20 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_30, 0.0, 6.0)
conv2d_31 : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_20, features_11_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 384)
batch_norm_31 : float32[N, 384, 4, 4] = aten.batch_norm.default(conv2d_31, features_11_conv_1_1_weight, features_11_conv_1_1_bias, features_11_conv_1_1_running_mean, features_11_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_21 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_31, 0.0, 6.0)
conv2d_32 : float32[N, 96, 4, 4] = aten.conv2d.default(hardtanh_21, features_11_conv_2_weight)
batch_norm_32 : float32[N, 96, 4, 4] = aten.batch_norm.default(conv2d_32, features_11_conv_3_weight, features_11_conv_3_bias, features_11_conv_3_running_mean, features_11_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_33 : float32[N, 576, 4, 4] = aten.conv2d.default(batch_norm_32, features_12_conv_0_0_weight)
batch_norm_33 : float32[N, 576, 4, 4] = aten.batch_norm.default(conv2d_33, features_12_conv_0_1_weight, features_12_conv_0_1_bias, features_12_conv_0_1_running_mean, features_12_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_22 : float32[N, 576, 4, 4] = aten.hardtanh.default(batch_norm_33, 0.0, 6.0)
conv2d_34 : float32[N, 576, 4, 4] = aten.conv2d.default(hardtanh_22, features_12_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 576)
batch_norm_34 : float32[N, 576, 4, 4] = aten.batch_norm.default(conv2d_34, features_12_conv_1_1_weight, features_12_conv_1_1_bias, features_12_conv_1_1_running_mean, features_12_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_23 : float32[N, 576, 4, 4] = aten.hardtanh.default(batch_norm_34, 0.0, 6.0)
conv2d_35 : float32[N, 96, 4, 4] = aten.conv2d.default(hardtanh_23, features_12_conv_2_weight)
batch_norm_35 : float32[N, 96, 4, 4] = aten.batch_norm.default(conv2d_35, features_12_conv_3_weight, features_12_conv_3_bias, features_12_conv_3_running_mean, features_12_conv_3_running_var, False, 0.1, 1e-05, False)
add_828 : float32[N, 96, 4, 4] = aten.add.Tensor(batch_norm_32, batch_norm_35)
conv2d_36 : float32[N, 576, 4, 4] = aten.conv2d.default(add_828, features_13_conv_0_0_weight)
batch_norm_36 : float32[N, 576, 4, 4] = aten.batch_norm.default(conv2d_36, features_13_conv_0_1_weight, features_13_conv_0_1_bias, features_13_conv_0_1_running_mean, features_13_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_24 : float32[N, 576, 4, 4] = aten.hardtanh.default(batch_norm_36, 0.0, 6.0)
conv2d_37 : float32[N, 576, 4, 4] = aten.conv2d.default(hardtanh_24, features_13_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 576)
batch_norm_37 : float32[N, 576, 4, 4] = aten.batch_norm.default(conv2d_37, features_13_conv_1_1_weight, features_13_conv_1_1_bias, features_13_conv_1_1_running_mean, features_13_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_25 : float32[N, 576, 4, 4] = aten.hardtanh.default(batch_norm_37, 0.0, 6.0)
conv2d_38 : float32[N, 96, 4, 4] = aten.conv2d.default(hardtanh_25, features_13_conv_2_weight)
batch_norm_38 : float32[N, 96, 4, 4] = aten.batch_norm.default(conv2d_38, features_13_conv_3_weight, features_13_conv_3_bias, features_13_conv_3_running_mean, features_13_conv_3_running_var, False, 0.1, 1e-05, False)
add_900 : float32[N, 96, 4, 4] = aten.add.Tensor(add_828, batch_norm_38)
conv2d_39 : float32[N, 576, 4, 4] = aten.conv2d.default(add_900, features_14_conv_0_0_weight)
batch_norm_39 : float32[N, 576, 4, 4] = aten.batch_norm.default(conv2d_39, features_14_conv_0_1_weight, features_14_conv_0_1_bias, features_14_conv_0_1_running_mean, features_14_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_26 : float32[N, 576, 4, 4] = aten.hardtanh.default(batch_norm_39, 0.0, 6.0)
conv2d_40 : float32[N, 576, 2, 2] = aten.conv2d.default(hardtanh_26, features_14_conv_1_0_weight, None, [2, 2], [1, 1], [1, 1], 576)
batch_norm_40 : float32[N, 576, 2, 2] = aten.batch_norm.default(conv2d_40, features_14_conv_1_1_weight, features_14_conv_1_1_bias, features_14_conv_1_1_running_mean, features_14_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_27 : float32[N, 576, 2, 2] = aten.hardtanh.default(batch_norm_40, 0.0, 6.0)
conv2d_41 : float32[N, 160, 2, 2] = aten.conv2d.default(hardtanh_27, features_14_conv_2_weight)
batch_norm_41 : float32[N, 160, 2, 2] = aten.batch_norm.default(conv2d_41, features_14_conv_3_weight, features_14_conv_3_bias, features_14_conv_3_running_mean, features_14_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_42 : float32[N, 960, 2, 2] = aten.conv2d.default(batch_norm_41, features_15_conv_0_0_weight)
batch_norm_42 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_42, features_15_conv_0_1_weight, features_15_conv_0_1_bias, features_15_conv_0_1_running_mean, features_15_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_28 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_42, 0.0, 6.0)
conv2d_43 : float32[N, 960, 2, 2] = aten.conv2d.default(hardtanh_28, features_15_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 960)
batch_norm_43 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_43, features_15_conv_1_1_weight, features_15_conv_1_1_bias, features_15_conv_1_1_running_mean, features_15_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_29 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_43, 0.0, 6.0)
conv2d_44 : float32[N, 160, 2, 2] = aten.conv2d.default(hardtanh_29, features_15_conv_2_weight)
batch_norm_44 : float32[N, 160, 2, 2] = aten.batch_norm.default(conv2d_44, features_15_conv_3_weight, features_15_conv_3_bias, features_15_conv_3_running_mean, features_15_conv_3_running_var, False, 0.1, 1e-05, False)
add_1038 : float32[N, 160, 2, 2] = aten.add.Tensor(batch_norm_41, batch_norm_44)
conv2d_45 : float32[N, 960, 2, 2] = aten.conv2d.default(add_1038, features_16_conv_0_0_weight)
batch_norm_45 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_45, features_16_conv_0_1_weight, features_16_conv_0_1_bias, features_16_conv_0_1_running_mean, features_16_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_30 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_45, 0.0, 6.0)
conv2d_46 : float32[N, 960, 2, 2] = aten.conv2d.default(hardtanh_30, features_16_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 960)
batch_norm_46 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_46, features_16_conv_1_1_weight, features_16_conv_1_1_bias, features_16_conv_1_1_running_mean, features_16_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_31 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_46, 0.0, 6.0)
conv2d_47 : float32[N, 160, 2, 2] = aten.conv2d.default(hardtanh_31, features_16_conv_2_weight)
batch_norm_47 : float32[N, 160, 2, 2] = aten.batch_norm.default(conv2d_47, features_16_conv_3_weight, features_16_conv_3_bias, features_16_conv_3_running_mean, features_16_conv_3_running_var, False, 0.1, 1e-05, False)
add_1110 : float32[N, 160, 2, 2] = aten.add.Tensor(add_1038, batch_norm_47)
conv2d_48 : float32[N, 960, 2, 2] = aten.conv2d.default(add_1110, features_17_conv_0_0_weight)
batch_norm_48 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_48, features_17_conv_0_1_weight, features_17_conv_0_1_bias, features_17_conv_0_1_running_mean, features_17_conv_0_1_running_var, False, 0.1, 1e-05, False)
hardtanh_32 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_48, 0.0, 6.0)
conv2d_49 : float32[N, 960, 2, 2] = aten.conv2d.default(hardtanh_32, features_17_conv_1_0_weight, None, [1, 1], [1, 1], [1, 1], 960)
batch_norm_49 : float32[N, 960, 2, 2] = aten.batch_norm.default(conv2d_49, features_17_conv_1_1_weight, features_17_conv_1_1_bias, features_17_conv_1_1_running_mean, features_17_conv_1_1_running_var, False, 0.1, 1e-05, False)
hardtanh_33 : float32[N, 960, 2, 2] = aten.hardtanh.default(batch_norm_49, 0.0, 6.0)
conv2d_50 : float32[N, 320, 2, 2] = aten.conv2d.default(hardtanh_33, features_17_conv_2_weight)
batch_norm_50 : float32[N, 320, 2, 2] = aten.batch_norm.default(conv2d_50, features_17_conv_3_weight, features_17_conv_3_bias, features_17_conv_3_running_mean, features_17_conv_3_running_var, False, 0.1, 1e-05, False)
conv2d_51 : float32[N, 1280, 2, 2] = aten.conv2d.default(batch_norm_50, features_18_0_weight)
batch_norm_51 : float32[N, 1280, 2, 2] = aten.batch_norm.default(conv2d_51, features_18_1_weight, features_18_1_bias, features_18_1_running_mean, features_18_1_running_var, False, 0.1, 1e-05, False)
hardtanh_34 : float32[N, 1280, 2, 2] = aten.hardtanh.default(batch_norm_51, 0.0, 6.0)
mean : float32[N, 1280] = aten.mean.dim(hardtanh_34, [2, 3])
clone : float32[N, 1280] = aten.clone.default(mean)
linear : float32[N, 10] = aten.linear.default(clone, classifier_1_weight, classifier_1_bias)
return [linear]
