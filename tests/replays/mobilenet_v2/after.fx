fxopt program 1
dim N = 1..16 @ 2
input x : float32[N, 3, 64, 64]
tensor batch_norm_10__bias_d904 : float32[144]
tensor batch_norm_10__weight_d904 : float32[144, 1, 3, 3]
tensor batch_norm_11__bias_c86c : float32[32]
tensor batch_norm_11__weight_c86c : float32[32, 144, 1, 1]
tensor batch_norm_12__bias_2fa2 : float32[192]
tensor batch_norm_12__weight_2fa2 : float32[192, 32, 1, 1]
tensor batch_norm_13__bias_e85a : float32[192]
tensor batch_norm_13__weight_e85a : float32[192, 1, 3, 3]
tensor batch_norm_14__bias_91af : float32[32]
tensor batch_norm_14__weight_91af : float32[32, 192, 1, 1]
tensor batch_norm_15__bias_f430 : float32[192]
tensor batch_norm_15__weight_f430 : float32[192, 32, 1, 1]
tensor batch_norm_16__bias_acd5 : float32[192]
tensor batch_norm_16__weight_acd5 : float32[192, 1, 3, 3]
tensor batch_norm_17__bias_6642 : float32[32]
tensor batch_norm_17__weight_6642 : float32[32, 192, 1, 1]
tensor batch_norm_18__bias_6406 : float32[192]
tensor batch_norm_18__weight_6406 : float32[192, 32, 1, 1]
tensor batch_norm_19__bias_2558 : float32[192]
tensor batch_norm_19__weight_2558 : float32[192, 1, 3, 3]
tensor batch_norm_1__bias_094c : float32[32]
tensor batch_norm_1__weight_094c : float32[32, 1, 3, 3]
tensor batch_norm_20__bias_e758 : float32[64]
tensor batch_norm_20__weight_e758 : float32[64, 192, 1, 1]
tensor batch_norm_21__bias_50de : float32[384]
tensor batch_norm_21__weight_50de : float32[384, 64, 1, 1]
tensor batch_norm_22__bias_a20a : float32[384]
tensor batch_norm_22__weight_a20a : float32[384, 1, 3, 3]
tensor batch_norm_23__bias_7c2c : float32[64]
tensor batch_norm_23__weight_7c2c : float32[64, 384, 1, 1]
tensor batch_norm_26__bias_8bf5 : float32[64]
tensor batch_norm_26__weight_8bf5 : float32[64, 383, 1, 1]
tensor batch_norm_29__bias_4d59 : float32[64]
tensor batch_norm_29__weight_4d59 : float32[64, 383, 1, 1]
tensor batch_norm_2__bias_06c5 : float32[16]
tensor batch_norm_2__weight_06c5 : float32[16, 32, 1, 1]
tensor batch_norm_30__bias_b840 : float32[384]
tensor batch_norm_30__weight_b840 : float32[384, 64, 1, 1]
tensor batch_norm_31__bias_b085 : float32[384]
tensor batch_norm_31__weight_b085 : float32[384, 1, 3, 3]
tensor batch_norm_32__bias_6ac4 : float32[96]
tensor batch_norm_32__weight_6ac4 : float32[96, 384, 1, 1]
tensor batch_norm_35__bias_ba44 : float32[96]
tensor batch_norm_35__weight_ba44 : float32[96, 574, 1, 1]
tensor batch_norm_38__bias_f527 : float32[96]
tensor batch_norm_38__weight_f527 : float32[96, 574, 1, 1]
tensor batch_norm_3__bias_4cb1 : float32[96]
tensor batch_norm_3__weight_4cb1 : float32[96, 16, 1, 1]
tensor batch_norm_41__bias_5804 : float32[160]
tensor batch_norm_41__weight_5804 : float32[160, 575, 1, 1]
tensor batch_norm_44__bias_a325 : float32[160]
tensor batch_norm_44__weight_a325 : float32[160, 959, 1, 1]
tensor batch_norm_47__bias_cae6 : float32[160]
tensor batch_norm_47__weight_cae6 : float32[160, 958, 1, 1]
tensor batch_norm_4__bias_481e : float32[96]
tensor batch_norm_4__weight_481e : float32[96, 1, 3, 3]
tensor batch_norm_50__bias_d6cd : float32[320]
tensor batch_norm_50__weight_d6cd : float32[320, 957, 1, 1]
tensor batch_norm_51__bias_8ac0 : float32[1280]
tensor batch_norm_51__weight_8ac0 : float32[1280, 320, 1, 1]
tensor batch_norm_5__bias_c080 : float32[24]
tensor batch_norm_5__weight_c080 : float32[24, 96, 1, 1]
tensor batch_norm_6__bias_003b : float32[144]
tensor batch_norm_6__weight_003b : float32[144, 24, 1, 1]
tensor batch_norm_7__bias_5314 : float32[144]
tensor batch_norm_7__weight_5314 : float32[144, 1, 3, 3]
tensor batch_norm_8__bias_d719 : float32[24]
tensor batch_norm_8__weight_d719 : float32[24, 144, 1, 1]
tensor batch_norm_9__bias_0ae2 : float32[144]
tensor batch_norm_9__weight_0ae2 : float32[144, 24, 1, 1]
tensor batch_norm__bias_dca5 : float32[32]
tensor batch_norm__weight_dca5 : float32[32, 3, 3, 3]
tensor classifier_1_bias : float32[10]
tensor classifier_1_weight : float32[10, 1280]
tensor conv2d_24__bias_16bf : float32[383]
tensor conv2d_24__bias_7bc8 : float32[383]
tensor conv2d_24__weight_16bf : float32[383, 1, 3, 3]
tensor conv2d_24__weight_7bc8 : float32[383, 64, 1, 1]
tensor conv2d_27__bias_06de : float32[383]
tensor conv2d_27__bias_5ae2 : float32[383]
tensor conv2d_27__weight_06de : float32[383, 1, 3, 3]
tensor conv2d_27__weight_5ae2 : float32[383, 64, 1, 1]
tensor conv2d_33__bias_2700 : float32[574]
tensor conv2d_33__bias_ec43 : float32[574]
tensor conv2d_33__weight_2700 : float32[574, 1, 3, 3]
tensor conv2d_33__weight_ec43 : float32[574, 96, 1, 1]
tensor conv2d_36__bias_4b89 : float32[574]
tensor conv2d_36__bias_62da : float32[574]
tensor conv2d_36__weight_4b89 : float32[574, 1, 3, 3]
tensor conv2d_36__weight_62da : float32[574, 96, 1, 1]
tensor conv2d_39__bias_3038 : float32[575]
tensor conv2d_39__bias_f4c5 : float32[575]
tensor conv2d_39__weight_3038 : float32[575, 1, 3, 3]
tensor conv2d_39__weight_f4c5 : float32[575, 96, 1, 1]
tensor conv2d_42__bias_81ae : float32[959]
tensor conv2d_42__bias_f259 : float32[959]
tensor conv2d_42__weight_81ae : float32[959, 160, 1, 1]
tensor conv2d_42__weight_f259 : float32[959, 1, 3, 3]
tensor conv2d_45__bias_8901 : float32[958]
tensor conv2d_45__bias_a59f : float32[958]
tensor conv2d_45__weight_8901 : float32[958, 1, 3, 3]
tensor conv2d_45__weight_a59f : float32[958, 160, 1, 1]
tensor conv2d_48__bias_aa11 : float32[957]
tensor conv2d_48__bias_d6f0 : float32[957]
tensor conv2d_48__weight_aa11 : float32[957, 1, 3, 3]
tensor conv2d_48__weight_d6f0 : float32[957, 160, 1, 1]
interface {"outputs": ["linear"], "parameters": ["x"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
batch_norm__conv2d_dca5 : float32[N, 32, 32, 32] = aten.conv2d.default(x, batch_norm__weight_dca5, batch_norm__bias_dca5, [2, 2], [1, 1])
hardtanh : float32[N, 32, 32, 32] = aten.hardtanh.default(batch_norm__conv2d_dca5, 0.0, 6.0)
batch_norm_1__conv2d_094c : float32[N, 32, 32, 32] = aten.conv2d.default(hardtanh, batch_norm_1__weight_094c, batch_norm_1__bias_094c, [1, 1], [1, 1], [1, 1], 32)
hardtanh_1 : float32[N, 32, 32, 32] = aten.hardtanh.default(batch_norm_1__conv2d_094c, 0.0, 6.0)
batch_norm_2__conv2d_06c5 : float32[N, 16, 32, 32] = aten.conv2d.default(hardtanh_1, batch_norm_2__weight_06c5, batch_norm_2__bias_06c5)
batch_norm_3__conv2d_4cb1 : float32[N, 96, 32, 32] = aten.conv2d.default(batch_norm_2__conv2d_06c5, batch_norm_3__weight_4cb1, batch_norm_3__bias_4cb1)
hardtanh_2 : float32[N, 96, 32, 32] = aten.hardtanh.default(batch_norm_3__conv2d_4cb1, 0.0, 6.0)
batch_norm_4__conv2d_481e : float32[N, 96, 16, 16] = aten.conv2d.default(hardtanh_2, batch_norm_4__weight_481e, batch_norm_4__bias_481e, [2, 2], [1, 1], [1, 1], 96)
hardtanh_3 : float32[N, 96, 16, 16] = aten.hardtanh.default(batch_norm_4__conv2d_481e, 0.0, 6.0)
batch_norm_5__conv2d_c080 : float32[N, 24, 16, 16] = aten.conv2d.default(hardtanh_3, batch_norm_5__weight_c080, batch_norm_5__bias_c080)
batch_norm_6__conv2d_003b : float32[N, 144, 16, 16] = aten.conv2d.default(batch_norm_5__conv2d_c080, batch_norm_6__weight_003b, batch_norm_6__bias_003b)
hardtanh_4 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_6__conv2d_003b, 0.0, 6.0)
batch_norm_7__conv2d_5314 : float32[N, 144, 16, 16] = aten.conv2d.default(hardtanh_4, batch_norm_7__weight_5314, batch_norm_7__bias_5314, [1, 1], [1, 1], [1, 1], 144)
hardtanh_5 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_7__conv2d_5314, 0.0, 6.0)
batch_norm_8__conv2d_d719 : float32[N, 24, 16, 16] = aten.conv2d.default(hardtanh_5, batch_norm_8__weight_d719, batch_norm_8__bias_d719)
add_198 : float32[N, 24, 16, 16] = aten.add.Tensor(batch_norm_5__conv2d_c080, batch_norm_8__conv2d_d719)
batch_norm_9__conv2d_0ae2 : float32[N, 144, 16, 16] = aten.conv2d.default(add_198, batch_norm_9__weight_0ae2, batch_norm_9__bias_0ae2)
hardtanh_6 : float32[N, 144, 16, 16] = aten.hardtanh.default(batch_norm_9__conv2d_0ae2, 0.0, 6.0)
batch_norm_10__conv2d_d904 : float32[N, 144, 8, 8] = aten.conv2d.default(hardtanh_6, batch_norm_10__weight_d904, batch_norm_10__bias_d904, [2, 2], [1, 1], [1, 1], 144)
hardtanh_7 : float32[N, 144, 8, 8] = aten.hardtanh.default(batch_norm_10__conv2d_d904, 0.0, 6.0)
batch_norm_11__conv2d_c86c : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_7, batch_norm_11__weight_c86c, batch_norm_11__bias_c86c)
batch_norm_12__conv2d_2fa2 : float32[N, 192, 8, 8] = aten.conv2d.default(batch_norm_11__conv2d_c86c, batch_norm_12__weight_2fa2, batch_norm_12__bias_2fa2)
hardtanh_8 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_12__conv2d_2fa2, 0.0, 6.0)
batch_norm_13__conv2d_e85a : float32[N, 192, 8, 8] = aten.conv2d.default(hardtanh_8, batch_norm_13__weight_e85a, batch_norm_13__bias_e85a, [1, 1], [1, 1], [1, 1], 192)
hardtanh_9 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_13__conv2d_e85a, 0.0, 6.0)
batch_norm_14__conv2d_91af : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_9, batch_norm_14__weight_91af, batch_norm_14__bias_91af)
add_336 : float32[N, 32, 8, 8] = aten.add.Tensor(batch_norm_11__conv2d_c86c, batch_norm_14__conv2d_91af)
batch_norm_15__conv2d_f430 : float32[N, 192, 8, 8] = aten.conv2d.default(add_336, batch_norm_15__weight_f430, batch_norm_15__bias_f430)
hardtanh_10 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_15__conv2d_f430, 0.0, 6.0)
batch_norm_16__conv2d_acd5 : float32[N, 192, 8, 8] = aten.conv2d.default(hardtanh_10, batch_norm_16__weight_acd5, batch_norm_16__bias_acd5, [1, 1], [1, 1], [1, 1], 192)
hardtanh_11 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_16__conv2d_acd5, 0.0, 6.0)
batch_norm_17__conv2d_6642 : float32[N, 32, 8, 8] = aten.conv2d.default(hardtanh_11, batch_norm_17__weight_6642, batch_norm_17__bias_6642)
add_408 : float32[N, 32, 8, 8] = aten.add.Tensor(add_336, batch_norm_17__conv2d_6642)
batch_norm_18__conv2d_6406 : float32[N, 192, 8, 8] = aten.conv2d.default(add_408, batch_norm_18__weight_6406, batch_norm_18__bias_6406)
hardtanh_12 : float32[N, 192, 8, 8] = aten.hardtanh.default(batch_norm_18__conv2d_6406, 0.0, 6.0)
batch_norm_19__conv2d_2558 : float32[N, 192, 4, 4] = aten.conv2d.default(hardtanh_12, batch_norm_19__weight_2558, batch_norm_19__bias_2558, [2, 2], [1, 1], [1, 1], 192)
hardtanh_13 : float32[N, 192, 4, 4] = aten.hardtanh.default(batch_norm_19__conv2d_2558, 0.0, 6.0)
batch_norm_20__conv2d_e758 : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_13, batch_norm_20__weight_e758, batch_norm_20__bias_e758)
batch_norm_21__conv2d_50de : float32[N, 384, 4, 4] = aten.conv2d.default(batch_norm_20__conv2d_e758, batch_norm_21__weight_50de, batch_norm_21__bias_50de)
hardtanh_14 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_21__conv2d_50de, 0.0, 6.0)
batch_norm_22__conv2d_a20a : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_14, batch_norm_22__weight_a20a, batch_norm_22__bias_a20a, [1, 1], [1, 1], [1, 1], 384)
hardtanh_15 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_22__conv2d_a20a, 0.0, 6.0)
batch_norm_23__conv2d_7c2c : float32[N, 64, 4, 4] = aten.conv2d.default(hardtanh_15, batch_norm_23__weight_7c2c, batch_norm_23__bias_7c2c)
add_546 : float32[N, 64, 4, 4] = aten.add.Tensor(batch_norm_20__conv2d_e758, batch_norm_23__conv2d_7c2c)
conv2d_24__conv2d_7bc8 : float32[N, 383, 4, 4] = aten.conv2d.default(add_546, conv2d_24__weight_7bc8, conv2d_24__bias_7bc8)
conv2d_24__hardtanh_9eaa : float32[N, 383, 4, 4] = aten.hardtanh.default(conv2d_24__conv2d_7bc8, 0.0, 6.0)
conv2d_24__conv2d_16bf : float32[N, 383, 4, 4] = aten.conv2d.default(conv2d_24__hardtanh_9eaa, conv2d_24__weight_16bf, conv2d_24__bias_16bf, [1, 1], [1, 1], [1, 1], 383)
conv2d_24__hardtanh_9eaa_1 : float32[N, 383, 4, 4] = aten.hardtanh.default(conv2d_24__conv2d_16bf, 0.0, 6.0)
batch_norm_26__conv2d_8bf5 : float32[N, 64, 4, 4] = aten.conv2d.default(conv2d_24__hardtanh_9eaa_1, batch_norm_26__weight_8bf5, batch_norm_26__bias_8bf5)
add_618 : float32[N, 64, 4, 4] = aten.add.Tensor(add_546, batch_norm_26__conv2d_8bf5)
conv2d_27__conv2d_5ae2 : float32[N, 383, 4, 4] = aten.conv2d.default(add_618, conv2d_27__weight_5ae2, conv2d_27__bias_5ae2)
conv2d_27__hardtanh_2fdc : float32[N, 383, 4, 4] = aten.hardtanh.default(conv2d_27__conv2d_5ae2, 0.0, 6.0)
conv2d_27__conv2d_06de : float32[N, 383, 4, 4] = aten.conv2d.default(conv2d_27__hardtanh_2fdc, conv2d_27__weight_06de, conv2d_27__bias_06de, [1, 1], [1, 1], [1, 1], 383)
conv2d_27__hardtanh_2fdc_1 : float32[N, 383, 4, 4] = aten.hardtanh.default(conv2d_27__conv2d_06de, 0.0, 6.0)
batch_norm_29__conv2d_4d59 : float32[N, 64, 4, 4] = aten.conv2d.default(conv2d_27__hardtanh_2fdc_1, batch_norm_29__weight_4d59, batch_norm_29__bias_4d59)
add_690 : float32[N, 64, 4, 4] = aten.add.Tensor(add_618, batch_norm_29__conv2d_4d59)
batch_norm_30__conv2d_b840 : float32[N, 384, 4, 4] = aten.conv2d.default(add_690, batch_norm_30__weight_b840, batch_norm_30__bias_b840)
hardtanh_20 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_30__conv2d_b840, 0.0, 6.0)
batch_norm_31__conv2d_b085 : float32[N, 384, 4, 4] = aten.conv2d.default(hardtanh_20, batch_norm_31__weight_b085, batch_norm_31__bias_b085, [1, 1], [1, 1], [1, 1], 384)
hardtanh_21 : float32[N, 384, 4, 4] = aten.hardtanh.default(batch_norm_31__conv2d_b085, 0.0, 6.0)
batch_norm_32__conv2d_6ac4 : float32[N, 96, 4, 4] = aten.conv2d.default(hardtanh_21, batch_norm_32__weight_6ac4, batch_norm_32__bias_6ac4)
conv2d_33__conv2d_ec43 : float32[N, 574, 4, 4] = aten.conv2d.default(batch_norm_32__conv2d_6ac4, conv2d_33__weight_ec43, conv2d_33__bias_ec43)
conv2d_33__hardtanh_3b95 : float32[N, 574, 4, 4] = aten.hardtanh.default(conv2d_33__conv2d_ec43, 0.0, 6.0)
conv2d_33__conv2d_2700 : float32[N, 574, 4, 4] = aten.conv2d.default(conv2d_33__hardtanh_3b95, conv2d_33__weight_2700, conv2d_33__bias_2700, [1, 1], [1, 1], [1, 1], 574)
conv2d_33__hardtanh_3b95_1 : float32[N, 574, 4, 4] = aten.hardtanh.default(conv2d_33__conv2d_2700, 0.0, 6.0)
batch_norm_35__conv2d_ba44 : float32[N, 96, 4, 4] = aten.conv2d.default(conv2d_33__hardtanh_3b95_1, batch_norm_35__weight_ba44, batch_norm_35__bias_ba44)
add_828 : float32[N, 96, 4, 4] = aten.add.Tensor(batch_norm_32__conv2d_6ac4, batch_norm_35__conv2d_ba44)
conv2d_36__conv2d_62da : float32[N, 574, 4, 4] = aten.conv2d.default(add_828, conv2d_36__weight_62da, conv2d_36__bias_62da)
conv2d_36__hardtanh_2bc0 : float32[N, 574, 4, 4] = aten.hardtanh.default(conv2d_36__conv2d_62da, 0.0, 6.0)
conv2d_36__conv2d_4b89 : float32[N, 574, 4, 4] = aten.conv2d.default(conv2d_36__hardtanh_2bc0, conv2d_36__weight_4b89, conv2d_36__bias_4b89, [1, 1], [1, 1], [1, 1], 574)
conv2d_36__hardtanh_2bc0_1 : float32[N, 574, 4, 4] = aten.hardtanh.default(conv2d_36__conv2d_4b89, 0.0, 6.0)
batch_norm_38__conv2d_f527 : float32[N, 96, 4, 4] = aten.conv2d.default(conv2d_36__hardtanh_2bc0_1, batch_norm_38__weight_f527, batch_norm_38__bias_f527)
add_900 : float32[N, 96, 4, 4] = aten.add.Tensor(add_828, batch_norm_38__conv2d_f527)
conv2d_39__conv2d_f4c5 : float32[N, 575, 4, 4] = aten.conv2d.default(add_900, conv2d_39__weight_f4c5, conv2d_39__bias_f4c5)
conv2d_39__hardtanh_52d2 : float32[N, 575, 4, 4] = aten.hardtanh.default(conv2d_39__conv2d_f4c5, 0.0, 6.0)
conv2d_39__conv2d_3038 : float32[N, 575, 2, 2] = aten.conv2d.default(conv2d_39__hardtanh_52d2, conv2d_39__weight_3038, conv2d_39__bias_3038, [2, 2], [1, 1], [1, 1], 575)
conv2d_39__hardtanh_52d2_1 : float32[N, 575, 2, 2] = aten.hardtanh.default(conv2d_39__conv2d_3038, 0.0, 6.0)
batch_norm_41__conv2d_5804 : float32[N, 160, 2, 2] = aten.conv2d.default(conv2d_39__hardtanh_52d2_1, batch_norm_41__weight_5804, batch_norm_41__bias_5804)
conv2d_42__conv2d_81ae : float32[N, 959, 2, 2] = aten.conv2d.default(batch_norm_41__conv2d_5804, conv2d_42__weight_81ae, conv2d_42__bias_81ae)
conv2d_42__hardtanh_8495 : float32[N, 959, 2, 2] = aten.hardtanh.default(conv2d_42__conv2d_81ae, 0.0, 6.0)
conv2d_42__conv2d_f259 : float32[N, 959, 2, 2] = aten.conv2d.default(conv2d_42__hardtanh_8495, conv2d_42__weight_f259, conv2d_42__bias_f259, [1, 1], [1, 1], [1, 1], 959)
conv2d_42__hardtanh_8495_1 : float32[N, 959, 2, 2] = aten.hardtanh.default(conv2d_42__conv2d_f259, 0.0, 6.0)
batch_norm_44__conv2d_a325 : float32[N, 160, 2, 2] = aten.conv2d.default(conv2d_42__hardtanh_8495_1, batch_norm_44__weight_a325, batch_norm_44__bias_a325)
add_1038 : float32[N, 160, 2, 2] = aten.add.Tensor(batch_norm_41__conv2d_5804, batch_norm_44__conv2d_a325)
conv2d_45__conv2d_a59f : float32[N, 958, 2, 2] = aten.conv2d.default(add_1038, conv2d_45__weight_a59f, conv2d_45__bias_a59f)
conv2d_45__hardtanh_e5af : float32[N, 958, 2, 2] = aten.hardtanh.default(conv2d_45__conv2d_a59f, 0.0, 6.0)
conv2d_45__conv2d_8901 : float32[N, 958, 2, 2] = aten.conv2d.default(conv2d_45__hardtanh_e5af, conv2d_45__weight_8901, conv2d_45__bias_8901, [1, 1], [1, 1], [1, 1], 958)
conv2d_45__hardtanh_e5af_1 : float32[N, 958, 2, 2] = aten.hardtanh.default(conv2d_45__conv2d_8901, 0.0, 6.0)
batch_norm_47__conv2d_cae6 : float32[N, 160, 2, 2] = aten.conv2d.default(conv2d_45__hardtanh_e5af_1, batch_norm_47__weight_cae6, batch_norm_47__bias_cae6)
add_1110 : float32[N, 160, 2, 2] = aten.add.Tensor(add_1038, batch_norm_47__conv2d_cae6)
conv2d_48__conv2d_d6f0 : float32[N, 957, 2, 2] = aten.conv2d.default(add_1110, conv2d_48__weight_d6f0, conv2d_48__bias_d6f0)
conv2d_48__hardtanh_7ecd : float32[N, 957, 2, 2] = aten.hardtanh.default(conv2d_48__conv2d_d6f0, 0.0, 6.0)
conv2d_48__conv2d_aa11 : float32[N, 957, 2, 2] = aten.conv2d.default(conv2d_48__hardtanh_7ecd, conv2d_48__weight_aa11, conv2d_48__bias_aa11, [1, 1], [1, 1], [1, 1], 957)
conv2d_48__hardtanh_7ecd_1 : float32[N, 957, 2, 2] = aten.hardtanh.default(conv2d_48__conv2d_aa11, 0.0, 6.0)
batch_norm_50__conv2d_d6cd : float32[N, 320, 2, 2] = aten.conv2d.default(conv2d_48__hardtanh_7ecd_1, batch_norm_50__weight_d6cd, batch_norm_50__bias_d6cd)
batch_norm_51__conv2d_8ac0 : float32[N, 1280, 2, 2] = aten.conv2d.default(batch_norm_50__conv2d_d6cd, batch_norm_51__weight_8ac0, batch_norm_51__bias_8ac0)
hardtanh_34 : float32[N, 1280, 2, 2] = aten.hardtanh.default(batch_norm_51__conv2d_8ac0, 0.0, 6.0)
mean : float32[N, 1280] = aten.mean.dim(hardtanh_34, [2, 3])
linear : float32[N, 10] = aten.linear.default(mean, classifier_1_weight, classifier_1_bias)
return [linear]
