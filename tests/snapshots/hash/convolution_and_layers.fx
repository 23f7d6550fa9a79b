fxopt snapshot 1
pass hash
== before
fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 4, 4, 4]
tensor n0_bias : float32[16]
tensor n0_weight : float32[16, 4, 3, 3]
tensor n3_bias : float32[48]
tensor n3_weight : float32[48, 64]
tensor n5_bias : float32[32]
tensor n5_weight : float32[32, 48]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
conv2d : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, n0_weight, n0_bias)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear : float32[N, 48] = aten.linear.default(view, n3_weight, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear)
linear_1 : float32[N, 32] = aten.linear.default(gelu, n5_weight, n5_bias)
return [linear_1]
== after
fxopt program 1
dim N = 1..16 @ 2
input input_1 : float32[N, 4, 4, 4]
tensor conv2d__table_f660 : float32[72]
tensor linear_1__table_a684 : float32[192]
tensor linear__table_1d54 : float32[384]
tensor n0_bias : float32[16]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1__arange_a684 : int64[1536] = aten.arange.default(1536, dtype=torch.int64)
linear_1__mul_a684 : int64[1536] = aten.mul.Tensor(linear_1__arange_a684, 374761393)
linear_1__remainder_a684 : int64[1536] = aten.remainder.Scalar(linear_1__mul_a684, 16777216)
linear_1__floor_divide_a684 : int64[1536] = aten.floor_divide.default(linear_1__remainder_a684, 2048)
linear_1__add_a684 : int64[1536] = aten.add.Tensor(linear_1__remainder_a684, linear_1__floor_divide_a684)
linear_1__remainder_a684_1 : int64[1536] = aten.remainder.Scalar(linear_1__add_a684, 16777216)
linear_1__mul_a684_1 : int64[1536] = aten.mul.Tensor(linear_1__remainder_a684_1, 331804471)
linear_1__remainder_a684_2 : int64[1536] = aten.remainder.Scalar(linear_1__mul_a684_1, 16777216)
linear_1__floor_divide_a684_1 : int64[1536] = aten.floor_divide.default(linear_1__remainder_a684_2, 2048)
linear_1__add_a684_1 : int64[1536] = aten.add.Tensor(linear_1__remainder_a684_2, linear_1__floor_divide_a684_1)
linear_1__remainder_a684_3 : int64[1536] = aten.remainder.Scalar(linear_1__add_a684_1, 16777216)
linear_1__mul_a684_2 : int64[1536] = aten.mul.Tensor(linear_1__remainder_a684_3, 280852815)
linear_1__remainder_a684_4 : int64[1536] = aten.remainder.Scalar(linear_1__mul_a684_2, 16777216)
linear_1__floor_divide_a684_2 : int64[1536] = aten.floor_divide.default(linear_1__remainder_a684_4, 2048)
linear_1__add_a684_2 : int64[1536] = aten.add.Tensor(linear_1__remainder_a684_4, linear_1__floor_divide_a684_2)
linear_1__remainder_a684_5 : int64[1536] = aten.remainder.Scalar(linear_1__add_a684_2, 16777216)
linear_1__remainder_a684_6 : int64[1536] = aten.remainder.Scalar(linear_1__remainder_a684_5, 2)
linear_1__mul_a684_4 : int64[1536] = aten.mul.Tensor(linear_1__remainder_a684_6, 2)
linear_1__sub_a684 : int64[1536] = aten.sub.Tensor(linear_1__mul_a684_4, 1)
linear_1__reshape_a684_1 : int64[32, 48] = aten.reshape.default(linear_1__sub_a684, [32, 48])
linear_1__mul_a684_3 : int64[1536] = aten.mul.Tensor(linear_1__remainder_a684_5, 192)
linear_1__floor_divide_a684_3 : int64[1536] = aten.floor_divide.default(linear_1__mul_a684_3, 16777216)
linear_1__index_select_a684 : float32[1536] = aten.index_select.default(linear_1__table_a684, 0, linear_1__floor_divide_a684_3)
linear_1__reshape_a684 : float32[32, 48] = aten.reshape.default(linear_1__index_select_a684, [32, 48])
linear_1__mul_a684_5 : float32[32, 48] = aten.mul.Tensor(linear_1__reshape_a684, linear_1__reshape_a684_1)
linear__arange_1d54 : int64[3072] = aten.arange.default(3072, dtype=torch.int64)
linear__mul_1d54 : int64[3072] = aten.mul.Tensor(linear__arange_1d54, 374761393)
linear__remainder_1d54 : int64[3072] = aten.remainder.Scalar(linear__mul_1d54, 16777216)
linear__floor_divide_1d54 : int64[3072] = aten.floor_divide.default(linear__remainder_1d54, 2048)
linear__add_1d54 : int64[3072] = aten.add.Tensor(linear__remainder_1d54, linear__floor_divide_1d54)
linear__remainder_1d54_1 : int64[3072] = aten.remainder.Scalar(linear__add_1d54, 16777216)
linear__mul_1d54_1 : int64[3072] = aten.mul.Tensor(linear__remainder_1d54_1, 331804471)
linear__remainder_1d54_2 : int64[3072] = aten.remainder.Scalar(linear__mul_1d54_1, 16777216)
linear__floor_divide_1d54_1 : int64[3072] = aten.floor_divide.default(linear__remainder_1d54_2, 2048)
linear__add_1d54_1 : int64[3072] = aten.add.Tensor(linear__remainder_1d54_2, linear__floor_divide_1d54_1)
linear__remainder_1d54_3 : int64[3072] = aten.remainder.Scalar(linear__add_1d54_1, 16777216)
linear__mul_1d54_2 : int64[3072] = aten.mul.Tensor(linear__remainder_1d54_3, 280852815)
linear__remainder_1d54_4 : int64[3072] = aten.remainder.Scalar(linear__mul_1d54_2, 16777216)
linear__floor_divide_1d54_2 : int64[3072] = aten.floor_divide.default(linear__remainder_1d54_4, 2048)
linear__add_1d54_2 : int64[3072] = aten.add.Tensor(linear__remainder_1d54_4, linear__floor_divide_1d54_2)
linear__remainder_1d54_5 : int64[3072] = aten.remainder.Scalar(linear__add_1d54_2, 16777216)
linear__remainder_1d54_6 : int64[3072] = aten.remainder.Scalar(linear__remainder_1d54_5, 2)
linear__mul_1d54_4 : int64[3072] = aten.mul.Tensor(linear__remainder_1d54_6, 2)
linear__sub_1d54 : int64[3072] = aten.sub.Tensor(linear__mul_1d54_4, 1)
linear__reshape_1d54_1 : int64[48, 64] = aten.reshape.default(linear__sub_1d54, [48, 64])
linear__mul_1d54_3 : int64[3072] = aten.mul.Tensor(linear__remainder_1d54_5, 384)
linear__floor_divide_1d54_3 : int64[3072] = aten.floor_divide.default(linear__mul_1d54_3, 16777216)
linear__index_select_1d54 : float32[3072] = aten.index_select.default(linear__table_1d54, 0, linear__floor_divide_1d54_3)
linear__reshape_1d54 : float32[48, 64] = aten.reshape.default(linear__index_select_1d54, [48, 64])
linear__mul_1d54_5 : float32[48, 64] = aten.mul.Tensor(linear__reshape_1d54, linear__reshape_1d54_1)
conv2d__arange_f660 : int64[576] = aten.arange.default(576, dtype=torch.int64)
conv2d__mul_f660 : int64[576] = aten.mul.Tensor(conv2d__arange_f660, 374761393)
conv2d__remainder_f660 : int64[576] = aten.remainder.Scalar(conv2d__mul_f660, 16777216)
conv2d__floor_divide_f660 : int64[576] = aten.floor_divide.default(conv2d__remainder_f660, 2048)
conv2d__add_f660 : int64[576] = aten.add.Tensor(conv2d__remainder_f660, conv2d__floor_divide_f660)
conv2d__remainder_f660_1 : int64[576] = aten.remainder.Scalar(conv2d__add_f660, 16777216)
conv2d__mul_f660_1 : int64[576] = aten.mul.Tensor(conv2d__remainder_f660_1, 331804471)
conv2d__remainder_f660_2 : int64[576] = aten.remainder.Scalar(conv2d__mul_f660_1, 16777216)
conv2d__floor_divide_f660_1 : int64[576] = aten.floor_divide.default(conv2d__remainder_f660_2, 2048)
conv2d__add_f660_1 : int64[576] = aten.add.Tensor(conv2d__remainder_f660_2, conv2d__floor_divide_f660_1)
conv2d__remainder_f660_3 : int64[576] = aten.remainder.Scalar(conv2d__add_f660_1, 16777216)
conv2d__mul_f660_2 : int64[576] = aten.mul.Tensor(conv2d__remainder_f660_3, 280852815)
conv2d__remainder_f660_4 : int64[576] = aten.remainder.Scalar(conv2d__mul_f660_2, 16777216)
conv2d__floor_divide_f660_2 : int64[576] = aten.floor_divide.default(conv2d__remainder_f660_4, 2048)
conv2d__add_f660_2 : int64[576] = aten.add.Tensor(conv2d__remainder_f660_4, conv2d__floor_divide_f660_2)
conv2d__remainder_f660_5 : int64[576] = aten.remainder.Scalar(conv2d__add_f660_2, 16777216)
conv2d__remainder_f660_6 : int64[576] = aten.remainder.Scalar(conv2d__remainder_f660_5, 2)
conv2d__mul_f660_4 : int64[576] = aten.mul.Tensor(conv2d__remainder_f660_6, 2)
conv2d__sub_f660 : int64[576] = aten.sub.Tensor(conv2d__mul_f660_4, 1)
conv2d__reshape_f660_1 : int64[16, 4, 3, 3] = aten.reshape.default(conv2d__sub_f660, [16, 4, 3, 3])
conv2d__mul_f660_3 : int64[576] = aten.mul.Tensor(conv2d__remainder_f660_5, 72)
conv2d__floor_divide_f660_3 : int64[576] = aten.floor_divide.default(conv2d__mul_f660_3, 16777216)
conv2d__index_select_f660 : float32[576] = aten.index_select.default(conv2d__table_f660, 0, conv2d__floor_divide_f660_3)
conv2d__reshape_f660 : float32[16, 4, 3, 3] = aten.reshape.default(conv2d__index_select_f660, [16, 4, 3, 3])
conv2d__mul_f660_5 : float32[16, 4, 3, 3] = aten.mul.Tensor(conv2d__reshape_f660, conv2d__reshape_f660_1)
conv2d__conv2d_f660 : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, conv2d__mul_f660_5, n0_bias)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d__conv2d_f660)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__linear_1d54 : float32[N, 48] = aten.linear.default(view, linear__mul_1d54_5, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_1d54)
linear_1__linear_a684 : float32[N, 32] = aten.linear.default(gelu, linear_1__mul_a684_5, n5_bias)
return [linear_1__linear_a684]
== declines
