fxopt program 1
dim N = 1..16 @ 2
input tokens : int64[N, 16]
tensor embedding_2__folded_3866 : float32[1, 16, 256]
tensor encoder_embeddings_LayerNorm_bias : float32[256]
tensor encoder_embeddings_LayerNorm_weight : float32[256]
tensor encoder_embeddings_token_type_embeddings_weight : float32[2, 256]
tensor encoder_embeddings_word_embeddings_weight : float32[1000, 256]
tensor encoder_encoder_layer_0_attention_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_0_attention_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_0_attention_output_dense_bias : float32[256]
tensor encoder_encoder_layer_0_attention_output_dense_weight : float32[256, 256]
tensor encoder_encoder_layer_0_intermediate_dense_bias : float32[1024]
tensor encoder_encoder_layer_0_intermediate_dense_weight : float32[1024, 256]
tensor encoder_encoder_layer_0_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_0_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_0_output_dense_bias : float32[256]
tensor encoder_encoder_layer_0_output_dense_weight : float32[256, 1024]
tensor encoder_encoder_layer_1_attention_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_1_attention_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_1_attention_output_dense_bias : float32[256]
tensor encoder_encoder_layer_1_attention_output_dense_weight : float32[256, 256]
tensor encoder_encoder_layer_1_intermediate_dense_bias : float32[1024]
tensor encoder_encoder_layer_1_intermediate_dense_weight : float32[1024, 256]
tensor encoder_encoder_layer_1_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_1_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_1_output_dense_bias : float32[256]
tensor encoder_encoder_layer_1_output_dense_weight : float32[256, 1024]
tensor encoder_encoder_layer_2_attention_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_2_attention_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_2_attention_output_dense_bias : float32[256]
tensor encoder_encoder_layer_2_attention_output_dense_weight : float32[256, 256]
tensor encoder_encoder_layer_2_intermediate_dense_bias : float32[1024]
tensor encoder_encoder_layer_2_intermediate_dense_weight : float32[1024, 256]
tensor encoder_encoder_layer_2_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_2_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_2_output_dense_bias : float32[256]
tensor encoder_encoder_layer_2_output_dense_weight : float32[256, 1024]
tensor encoder_encoder_layer_3_attention_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_3_attention_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_3_attention_output_dense_bias : float32[256]
tensor encoder_encoder_layer_3_attention_output_dense_weight : float32[256, 256]
tensor encoder_encoder_layer_3_intermediate_dense_bias : float32[1024]
tensor encoder_encoder_layer_3_intermediate_dense_weight : float32[1024, 256]
tensor encoder_encoder_layer_3_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_3_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_3_output_dense_bias : float32[256]
tensor encoder_encoder_layer_3_output_dense_weight : float32[256, 1024]
tensor gather__folded_8048 : int64[1, 16]
tensor ge__folded_c09b : bool[1, 1, 16, 1]
tensor linear_12__bias_15e0 : float32[768]
tensor linear_12__weight_15e0 : float32[768, 256]
tensor linear_18__bias_86c5 : float32[768]
tensor linear_18__weight_86c5 : float32[768, 256]
tensor linear_6__bias_2043 : float32[768]
tensor linear_6__weight_2043 : float32[768, 256]
tensor linear__bias_7fa6 : float32[768]
tensor linear__weight_7fa6 : float32[768, 256]
tensor zeros__folded_2a55 : float32[]
interface {"outputs": ["layer_norm_8"], "parameters": ["tokens"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sym_size_int_2 : int = aten.sym_size.int(tokens, 0)
expand_1 : int64[N, 16] = aten.expand.default(gather__folded_8048, [sym_size_int_2, 16])
embedding : float32[N, 16, 256] = aten.embedding.default(encoder_embeddings_word_embeddings_weight, tokens, 0)
embedding_1 : float32[N, 16, 256] = aten.embedding.default(encoder_embeddings_token_type_embeddings_weight, expand_1)
add_8 : float32[N, 16, 256] = aten.add.Tensor(embedding, embedding_1)
add_13 : float32[N, 16, 256] = aten.add.Tensor(add_8, embedding_2__folded_3866)
layer_norm : float32[N, 16, 256] = aten.layer_norm.default(add_13, [256], encoder_embeddings_LayerNorm_weight, encoder_embeddings_LayerNorm_bias, 1e-12, False)
linear__linear_7fa6 : float32[N, 16, 768] = aten.linear.default(layer_norm, linear__weight_7fa6, linear__bias_7fa6)
linear__split_7fa6 : (float32[N, 16, 256], float32[N, 16, 256], float32[N, 16, 256]) = aten.split_with_sizes.default(linear__linear_7fa6, [256, 256, 256], 2)
linear__part_7fa6_2 : float32[N, 16, 256] = operator.getitem(linear__split_7fa6, 2)
linear__part_7fa6_1 : float32[N, 16, 256] = operator.getitem(linear__split_7fa6, 1)
linear__part_7fa6 : float32[N, 16, 256] = operator.getitem(linear__split_7fa6, 0)
expand_2 : bool[N, 1, 16, 16] = aten.expand.default(ge__folded_c09b, [sym_size_int_2, -1, 16, 16])
where : float32[N, 1, 16, 16] = aten.where.ScalarOther(expand_2, zeros__folded_2a55, -3.4028234663852886e+38)
view : float32[N, 16, 4, 64] = aten.reshape.default(linear__part_7fa6, [sym_size_int_2, 16, -1, 64])
transpose : float32[N, 4, 16, 64] = aten.transpose.int(view, 1, 2)
view_1 : float32[N, 16, 4, 64] = aten.reshape.default(linear__part_7fa6_1, [sym_size_int_2, 16, -1, 64])
matmul_1__permute_75cc : float32[N, 4, 16, 64] = aten.permute.default(view_1, [0, 2, 1, 3])
view_2 : float32[N, 16, 4, 64] = aten.reshape.default(linear__part_7fa6_2, [sym_size_int_2, 16, -1, 64])
transpose_2 : float32[N, 4, 16, 64] = aten.transpose.int(view_2, 1, 2)
matmul_1__attention_0398 : float32[N, 4, 16, 64] = aten.scaled_dot_product_attention.default(transpose, matmul_1__permute_75cc, transpose_2, where, scale=0.125)
transpose_4 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_1__attention_0398, 1, 2)
view_3 : float32[N, 16, 256] = aten.reshape.default(transpose_4, [sym_size_int_2, 16, -1])
linear_3 : float32[N, 16, 256] = aten.linear.default(view_3, encoder_encoder_layer_0_attention_output_dense_weight, encoder_encoder_layer_0_attention_output_dense_bias)
add_147 : float32[N, 16, 256] = aten.add.Tensor(linear_3, layer_norm)
layer_norm_1 : float32[N, 16, 256] = aten.layer_norm.default(add_147, [256], encoder_encoder_layer_0_attention_output_LayerNorm_weight, encoder_encoder_layer_0_attention_output_LayerNorm_bias, 1e-12, False)
linear_4 : float32[N, 16, 1024] = aten.linear.default(layer_norm_1, encoder_encoder_layer_0_intermediate_dense_weight, encoder_encoder_layer_0_intermediate_dense_bias)
gelu : float32[N, 16, 1024] = aten.gelu.default(linear_4)
linear_5 : float32[N, 16, 256] = aten.linear.default(gelu, encoder_encoder_layer_0_output_dense_weight, encoder_encoder_layer_0_output_dense_bias)
add_172 : float32[N, 16, 256] = aten.add.Tensor(linear_5, layer_norm_1)
layer_norm_2 : float32[N, 16, 256] = aten.layer_norm.default(add_172, [256], encoder_encoder_layer_0_output_LayerNorm_weight, encoder_encoder_layer_0_output_LayerNorm_bias, 1e-12, False)
linear_6__linear_2043 : float32[N, 16, 768] = aten.linear.default(layer_norm_2, linear_6__weight_2043, linear_6__bias_2043)
linear_6__split_2043 : (float32[N, 16, 256], float32[N, 16, 256], float32[N, 16, 256]) = aten.split_with_sizes.default(linear_6__linear_2043, [256, 256, 256], 2)
linear_6__part_2043_2 : float32[N, 16, 256] = operator.getitem(linear_6__split_2043, 2)
linear_6__part_2043_1 : float32[N, 16, 256] = operator.getitem(linear_6__split_2043, 1)
linear_6__part_2043 : float32[N, 16, 256] = operator.getitem(linear_6__split_2043, 0)
view_4 : float32[N, 16, 4, 64] = aten.reshape.default(linear_6__part_2043, [sym_size_int_2, 16, -1, 64])
transpose_5 : float32[N, 4, 16, 64] = aten.transpose.int(view_4, 1, 2)
view_5 : float32[N, 16, 4, 64] = aten.reshape.default(linear_6__part_2043_1, [sym_size_int_2, 16, -1, 64])
matmul_3__permute_a9da : float32[N, 4, 16, 64] = aten.permute.default(view_5, [0, 2, 1, 3])
view_6 : float32[N, 16, 4, 64] = aten.reshape.default(linear_6__part_2043_2, [sym_size_int_2, 16, -1, 64])
transpose_7 : float32[N, 4, 16, 64] = aten.transpose.int(view_6, 1, 2)
matmul_3__attention_404d : float32[N, 4, 16, 64] = aten.scaled_dot_product_attention.default(transpose_5, matmul_3__permute_a9da, transpose_7, where, scale=0.125)
transpose_9 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_3__attention_404d, 1, 2)
view_7 : float32[N, 16, 256] = aten.reshape.default(transpose_9, [sym_size_int_2, 16, -1])
linear_9 : float32[N, 16, 256] = aten.linear.default(view_7, encoder_encoder_layer_1_attention_output_dense_weight, encoder_encoder_layer_1_attention_output_dense_bias)
add_281 : float32[N, 16, 256] = aten.add.Tensor(linear_9, layer_norm_2)
layer_norm_3 : float32[N, 16, 256] = aten.layer_norm.default(add_281, [256], encoder_encoder_layer_1_attention_output_LayerNorm_weight, encoder_encoder_layer_1_attention_output_LayerNorm_bias, 1e-12, False)
linear_10 : float32[N, 16, 1024] = aten.linear.default(layer_norm_3, encoder_encoder_layer_1_intermediate_dense_weight, encoder_encoder_layer_1_intermediate_dense_bias)
gelu_1 : float32[N, 16, 1024] = aten.gelu.default(linear_10)
linear_11 : float32[N, 16, 256] = aten.linear.default(gelu_1, encoder_encoder_layer_1_output_dense_weight, encoder_encoder_layer_1_output_dense_bias)
add_306 : float32[N, 16, 256] = aten.add.Tensor(linear_11, layer_norm_3)
layer_norm_4 : float32[N, 16, 256] = aten.layer_norm.default(add_306, [256], encoder_encoder_layer_1_output_LayerNorm_weight, encoder_encoder_layer_1_output_LayerNorm_bias, 1e-12, False)
linear_12__linear_15e0 : float32[N, 16, 768] = aten.linear.default(layer_norm_4, linear_12__weight_15e0, linear_12__bias_15e0)
linear_12__split_15e0 : (float32[N, 16, 256], float32[N, 16, 256], float32[N, 16, 256]) = aten.split_with_sizes.default(linear_12__linear_15e0, [256, 256, 256], 2)
linear_12__part_15e0_2 : float32[N, 16, 256] = operator.getitem(linear_12__split_15e0, 2)
linear_12__part_15e0_1 : float32[N, 16, 256] = operator.getitem(linear_12__split_15e0, 1)
linear_12__part_15e0 : float32[N, 16, 256] = operator.getitem(linear_12__split_15e0, 0)
view_8 : float32[N, 16, 4, 64] = aten.reshape.default(linear_12__part_15e0, [sym_size_int_2, 16, -1, 64])
transpose_10 : float32[N, 4, 16, 64] = aten.transpose.int(view_8, 1, 2)
view_9 : float32[N, 16, 4, 64] = aten.reshape.default(linear_12__part_15e0_1, [sym_size_int_2, 16, -1, 64])
matmul_5__permute_204b : float32[N, 4, 16, 64] = aten.permute.default(view_9, [0, 2, 1, 3])
view_10 : float32[N, 16, 4, 64] = aten.reshape.default(linear_12__part_15e0_2, [sym_size_int_2, 16, -1, 64])
transpose_12 : float32[N, 4, 16, 64] = aten.transpose.int(view_10, 1, 2)
matmul_5__attention_0a41 : float32[N, 4, 16, 64] = aten.scaled_dot_product_attention.default(transpose_10, matmul_5__permute_204b, transpose_12, where, scale=0.125)
transpose_14 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_5__attention_0a41, 1, 2)
view_11 : float32[N, 16, 256] = aten.reshape.default(transpose_14, [sym_size_int_2, 16, -1])
linear_15 : float32[N, 16, 256] = aten.linear.default(view_11, encoder_encoder_layer_2_attention_output_dense_weight, encoder_encoder_layer_2_attention_output_dense_bias)
add_415 : float32[N, 16, 256] = aten.add.Tensor(linear_15, layer_norm_4)
layer_norm_5 : float32[N, 16, 256] = aten.layer_norm.default(add_415, [256], encoder_encoder_layer_2_attention_output_LayerNorm_weight, encoder_encoder_layer_2_attention_output_LayerNorm_bias, 1e-12, False)
linear_16 : float32[N, 16, 1024] = aten.linear.default(layer_norm_5, encoder_encoder_layer_2_intermediate_dense_weight, encoder_encoder_layer_2_intermediate_dense_bias)
gelu_2 : float32[N, 16, 1024] = aten.gelu.default(linear_16)
linear_17 : float32[N, 16, 256] = aten.linear.default(gelu_2, encoder_encoder_layer_2_output_dense_weight, encoder_encoder_layer_2_output_dense_bias)
add_440 : float32[N, 16, 256] = aten.add.Tensor(linear_17, layer_norm_5)
layer_norm_6 : float32[N, 16, 256] = aten.layer_norm.default(add_440, [256], encoder_encoder_layer_2_output_LayerNorm_weight, encoder_encoder_layer_2_output_LayerNorm_bias, 1e-12, False)
linear_18__linear_86c5 : float32[N, 16, 768] = aten.linear.default(layer_norm_6, linear_18__weight_86c5, linear_18__bias_86c5)
linear_18__split_86c5 : (float32[N, 16, 256], float32[N, 16, 256], float32[N, 16, 256]) = aten.split_with_sizes.default(linear_18__linear_86c5, [256, 256, 256], 2)
linear_18__part_86c5_2 : float32[N, 16, 256] = operator.getitem(linear_18__split_86c5, 2)
linear_18__part_86c5_1 : float32[N, 16, 256] = operator.getitem(linear_18__split_86c5, 1)
linear_18__part_86c5 : float32[N, 16, 256] = operator.getitem(linear_18__split_86c5, 0)
view_12 : float32[N, 16, 4, 64] = aten.reshape.default(linear_18__part_86c5, [sym_size_int_2, 16, -1, 64])
transpose_15 : float32[N, 4, 16, 64] = aten.transpose.int(view_12, 1, 2)
view_13 : float32[N, 16, 4, 64] = aten.reshape.default(linear_18__part_86c5_1, [sym_size_int_2, 16, -1, 64])
matmul_7__permute_0e1a : float32[N, 4, 16, 64] = aten.permute.default(view_13, [0, 2, 1, 3])
view_14 : float32[N, 16, 4, 64] = aten.reshape.default(linear_18__part_86c5_2, [sym_size_int_2, 16, -1, 64])
transpose_17 : float32[N, 4, 16, 64] = aten.transpose.int(view_14, 1, 2)
matmul_7__attention_efe8 : float32[N, 4, 16, 64] = aten.scaled_dot_product_attention.default(transpose_15, matmul_7__permute_0e1a, transpose_17, where, scale=0.125)
transpose_19 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_7__attention_efe8, 1, 2)
view_15 : float32[N, 16, 256] = aten.reshape.default(transpose_19, [sym_size_int_2, 16, -1])
linear_21 : float32[N, 16, 256] = aten.linear.default(view_15, encoder_encoder_layer_3_attention_output_dense_weight, encoder_encoder_layer_3_attention_output_dense_bias)
add_549 : float32[N, 16, 256] = aten.add.Tensor(linear_21, layer_norm_6)
layer_norm_7 : float32[N, 16, 256] = aten.layer_norm.default(add_549, [256], encoder_encoder_layer_3_attention_output_LayerNorm_weight, encoder_encoder_layer_3_attention_output_LayerNorm_bias, 1e-12, False)
linear_22 : float32[N, 16, 1024] = aten.linear.default(layer_norm_7, encoder_encoder_layer_3_intermediate_dense_weight, encoder_encoder_layer_3_intermediate_dense_bias)
gelu_3 : float32[N, 16, 1024] = aten.gelu.default(linear_22)
linear_23 : float32[N, 16, 256] = aten.linear.default(gelu_3, encoder_encoder_layer_3_output_dense_weight, encoder_encoder_layer_3_output_dense_bias)
add_574 : float32[N, 16, 256] = aten.add.Tensor(linear_23, layer_norm_7)
layer_norm_8 : float32[N, 16, 256] = aten.layer_norm.default(add_574, [256], encoder_encoder_layer_3_output_LayerNorm_weight, encoder_encoder_layer_3_output_LayerNorm_bias, 1e-12, False)
return [layer_norm_8]
