fxopt snapshot 1
pass kmeans
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
tensor conv2d__codebook_01cb : float32[16]
tensor conv2d__codes_01cb : uint8[576]
tensor linear_1__codebook_f1bf : float32[16]
tensor linear_1__codes_f1bf : uint8[1536]
tensor linear__codebook_41c0 : float32[16]
tensor linear__codes_41c0 : uint8[3072]
tensor n0_bias : float32[16]
tensor n3_bias : float32[48]
tensor n5_bias : float32[32]
interface {"outputs": ["linear_1"], "parameters": ["input"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear_1___to_copy_f1bf : int64[1536] = aten._to_copy.default(linear_1__codes_f1bf, dtype=torch.int64)
linear_1__index_select_f1bf : float32[1536] = aten.index_select.default(linear_1__codebook_f1bf, 0, linear_1___to_copy_f1bf)
linear_1__reshape_f1bf : float32[32, 48] = aten.reshape.default(linear_1__index_select_f1bf, [32, 48])
linear___to_copy_41c0 : int64[3072] = aten._to_copy.default(linear__codes_41c0, dtype=torch.int64)
linear__index_select_41c0 : float32[3072] = aten.index_select.default(linear__codebook_41c0, 0, linear___to_copy_41c0)
linear__reshape_41c0 : float32[48, 64] = aten.reshape.default(linear__index_select_41c0, [48, 64])
conv2d___to_copy_01cb : int64[576] = aten._to_copy.default(conv2d__codes_01cb, dtype=torch.int64)
conv2d__index_select_01cb : float32[576] = aten.index_select.default(conv2d__codebook_01cb, 0, conv2d___to_copy_01cb)
conv2d__reshape_01cb : float32[16, 4, 3, 3] = aten.reshape.default(conv2d__index_select_01cb, [16, 4, 3, 3])
conv2d__conv2d_01cb : float32[N, 16, 2, 2] = aten.conv2d.default(input_1, conv2d__reshape_01cb, n0_bias)
sym_size_int_1 : int = aten.sym_size.int(input_1, 0)
relu : float32[N, 16, 2, 2] = aten.relu.default(conv2d__conv2d_01cb)
view : float32[N, 64] = aten.reshape.default(relu, [sym_size_int_1, 64])
linear__linear_41c0 : float32[N, 48] = aten.linear.default(view, linear__reshape_41c0, n3_bias)
gelu : float32[N, 48] = aten.gelu.default(linear__linear_41c0)
linear_1__linear_f1bf : float32[N, 32] = aten.linear.default(gelu, linear_1__reshape_f1bf, n5_bias)
return [linear_1__linear_f1bf]
== declines
