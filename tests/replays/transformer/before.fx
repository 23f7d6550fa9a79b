fxopt program 1
dim N = 1..16 @ 2
input tokens : int64[N, 16]
tensor encoder_embeddings_LayerNorm_bias : float32[256]
tensor encoder_embeddings_LayerNorm_weight : float32[256]
tensor encoder_embeddings_position_embeddings_weight : float32[512, 256]
tensor encoder_embeddings_position_ids : int64[1, 512]
tensor encoder_embeddings_token_type_embeddings_weight : float32[2, 256]
tensor encoder_embeddings_token_type_ids : int64[1, 512]
tensor encoder_embeddings_word_embeddings_weight : float32[1000, 256]
tensor encoder_encoder_layer_0_attention_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_0_attention_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_0_attention_output_dense_bias : float32[256]
tensor encoder_encoder_layer_0_attention_output_dense_weight : float32[256, 256]
tensor encoder_encoder_layer_0_attention_self_key_bias : float32[256]
tensor encoder_encoder_layer_0_attention_self_key_weight : float32[256, 256]
tensor encoder_encoder_layer_0_attention_self_query_bias : float32[256]
tensor encoder_encoder_layer_0_attention_self_query_weight : float32[256, 256]
tensor encoder_encoder_layer_0_attention_self_value_bias : float32[256]
tensor encoder_encoder_layer_0_attention_self_value_weight : float32[256, 256]
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
tensor encoder_encoder_layer_1_attention_self_key_bias : float32[256]
tensor encoder_encoder_layer_1_attention_self_key_weight : float32[256, 256]
tensor encoder_encoder_layer_1_attention_self_query_bias : float32[256]
tensor encoder_encoder_layer_1_attention_self_query_weight : float32[256, 256]
tensor encoder_encoder_layer_1_attention_self_value_bias : float32[256]
tensor encoder_encoder_layer_1_attention_self_value_weight : float32[256, 256]
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
tensor encoder_encoder_layer_2_attention_self_key_bias : float32[256]
tensor encoder_encoder_layer_2_attention_self_key_weight : float32[256, 256]
tensor encoder_encoder_layer_2_attention_self_query_bias : float32[256]
tensor encoder_encoder_layer_2_attention_self_query_weight : float32[256, 256]
tensor encoder_encoder_layer_2_attention_self_value_bias : float32[256]
tensor encoder_encoder_layer_2_attention_self_value_weight : float32[256, 256]
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
tensor encoder_encoder_layer_3_attention_self_key_bias : float32[256]
tensor encoder_encoder_layer_3_attention_self_key_weight : float32[256, 256]
tensor encoder_encoder_layer_3_attention_self_query_bias : float32[256]
tensor encoder_encoder_layer_3_attention_self_query_weight : float32[256, 256]
tensor encoder_encoder_layer_3_attention_self_value_bias : float32[256]
tensor encoder_encoder_layer_3_attention_self_value_weight : float32[256, 256]
tensor encoder_encoder_layer_3_intermediate_dense_bias : float32[1024]
tensor encoder_encoder_layer_3_intermediate_dense_weight : float32[1024, 256]
tensor encoder_encoder_layer_3_output_LayerNorm_bias : float32[256]
tensor encoder_encoder_layer_3_output_LayerNorm_weight : float32[256]
tensor encoder_encoder_layer_3_output_dense_bias : float32[256]
tensor encoder_encoder_layer_3_output_dense_weight : float32[256, 1024]
interface {"outputs": ["layer_norm_8"], "parameters": ["tokens"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sym_size_int_2 : int = aten.sym_size.int(tokens, 0)
slice_1 : int64[1, 16] = aten.slice.Tensor(encoder_embeddings_position_ids, 1, 0, 16)
expand : int64[1, 512] = aten.expand.default(encoder_embeddings_token_type_ids, [1, -1])
gather : int64[1, 16] = aten.gather.default(expand, 1, slice_1)
expand_1 : int64[N, 16] = aten.expand.default(gather, [sym_size_int_2, 16])
embedding : float32[N, 16, 256] = aten.embedding.default(encoder_embeddings_word_embeddings_weight, tokens, 0)
embedding_1 : float32[N, 16, 256] = aten.embedding.default(encoder_embeddings_token_type_embeddings_weight, expand_1)
add_8 : float32[N, 16, 256] = aten.add.Tensor(embedding, embedding_1)
embedding_2 : float32[1, 16, 256] = aten.embedding.default(encoder_embeddings_position_embeddings_weight, slice_1)
add_13 : float32[N, 16, 256] = aten.add.Tensor(add_8, embedding_2)
layer_norm : float32[N, 16, 256] = aten.layer_norm.default(add_13, [256], encoder_embeddings_LayerNorm_weight, encoder_embeddings_LayerNorm_bias, 1e-12, False)
clone : float32[N, 16, 256] = aten.clone.default(layer_norm)
arange_2 : int64[16] = aten.arange.default(16, device=device('cpu'), pin_memory=False, dtype=torch.int64)
add_28 : int64[16] = aten.add.Tensor(arange_2, 0)
unsqueeze_6 : int64[1, 16] = aten.unsqueeze.default(add_28, 0)
unsqueeze_7 : int64[1, 1, 16] = aten.unsqueeze.default(unsqueeze_6, 1)
unsqueeze_8 : int64[1, 1, 16, 1] = aten.unsqueeze.default(unsqueeze_7, 3)
ge : bool[1, 1, 16, 1] = aten.ge.Scalar(unsqueeze_8, 0)
expand_2 : bool[N, 1, 16, 16] = aten.expand.default(ge, [sym_size_int_2, -1, 16, 16])
zeros : float32[] = aten.zeros.default([], dtype=torch.float32, device=device('cpu'), pin_memory=False)
where : float32[N, 1, 16, 16] = aten.where.ScalarOther(expand_2, zeros, -3.4028234663852886e+38)
linear : float32[N, 16, 256] = aten.linear.default(clone, encoder_encoder_layer_0_attention_self_query_weight, encoder_encoder_layer_0_attention_self_query_bias)
view : float32[N, 16, 4, 64] = aten.reshape.default(linear, [sym_size_int_2, 16, -1, 64])
transpose : float32[N, 4, 16, 64] = aten.transpose.int(view, 1, 2)
linear_1 : float32[N, 16, 256] = aten.linear.default(clone, encoder_encoder_layer_0_attention_self_key_weight, encoder_encoder_layer_0_attention_self_key_bias)
view_1 : float32[N, 16, 4, 64] = aten.reshape.default(linear_1, [sym_size_int_2, 16, -1, 64])
transpose_1 : float32[N, 4, 16, 64] = aten.transpose.int(view_1, 1, 2)
linear_2 : float32[N, 16, 256] = aten.linear.default(clone, encoder_encoder_layer_0_attention_self_value_weight, encoder_encoder_layer_0_attention_self_value_bias)
view_2 : float32[N, 16, 4, 64] = aten.reshape.default(linear_2, [sym_size_int_2, 16, -1, 64])
transpose_2 : float32[N, 4, 16, 64] = aten.transpose.int(view_2, 1, 2)
transpose_3 : float32[N, 4, 64, 16] = aten.transpose.int(transpose_1, 2, 3)
matmul : float32[N, 4, 16, 16] = aten.matmul.default(transpose, transpose_3)
mul_42 : float32[N, 4, 16, 16] = aten.mul.Tensor(matmul, 0.125)
add_104 : float32[N, 4, 16, 16] = aten.add.Tensor(mul_42, where)
softmax : float32[N, 4, 16, 16] = aten.softmax.int(add_104, -1)
clone_1 : float32[N, 4, 16, 16] = aten.clone.default(softmax)
matmul_1 : float32[N, 4, 16, 64] = aten.matmul.default(clone_1, transpose_2)
transpose_4 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_1, 1, 2)
clone_2 : float32[N, 16, 4, 64] = aten.clone.default(transpose_4, memory_format=torch.contiguous_format)
view_3 : float32[N, 16, 256] = aten.reshape.default(clone_2, [sym_size_int_2, 16, -1])
linear_3 : float32[N, 16, 256] = aten.linear.default(view_3, encoder_encoder_layer_0_attention_output_dense_weight, encoder_encoder_layer_0_attention_output_dense_bias)
clone_3 : float32[N, 16, 256] = aten.clone.default(linear_3)
add_147 : float32[N, 16, 256] = aten.add.Tensor(clone_3, clone)
layer_norm_1 : float32[N, 16, 256] = aten.layer_norm.default(add_147, [256], encoder_encoder_layer_0_attention_output_LayerNorm_weight, encoder_encoder_layer_0_attention_output_LayerNorm_bias, 1e-12, False)
linear_4 : float32[N, 16, 1024] = aten.linear.default(layer_norm_1, encoder_encoder_layer_0_intermediate_dense_weight, encoder_encoder_layer_0_intermediate_dense_bias)
gelu : float32[N, 16, 1024] = aten.gelu.default(linear_4)
linear_5 : float32[N, 16, 256] = aten.linear.default(gelu, encoder_encoder_layer_0_output_dense_weight, encoder_encoder_layer_0_output_dense_bias)
clone_4 : float32[N, 16, 256] = aten.clone.default(linear_5)
add_172 : float32[N, 16, 256] = aten.add.Tensor(clone_4, layer_norm_1)
layer_norm_2 : float32[N, 16, 256] = aten.layer_norm.default(add_172, [256], encoder_encoder_layer_0_output_LayerNorm_weight, encoder_encoder_layer_0_output_LayerNorm_bias, 1e-12, False)
linear_6 : float32[N, 16, 256] = aten.linear.default(layer_norm_2, encoder_encoder_layer_1_attention_self_query_weight, encoder_encoder_layer_1_attention_self_query_bias)
view_4 : float32[N, 16, 4, 64] = aten.reshape.default(linear_6, [sym_size_int_2, 16, -1, 64])
transpose_5 : float32[N, 4, 16, 64] = aten.transpose.int(view_4, 1, 2)
linear_7 : float32[N, 16, 256] = aten.linear.default(layer_norm_2, encoder_encoder_layer_1_attention_self_key_weight, encoder_encoder_layer_1_attention_self_key_bias)
view_5 : float32[N, 16, 4, 64] = aten.reshape.default(linear_7, [sym_size_int_2, 16, -1, 64])
transpose_6 : float32[N, 4, 16, 64] = aten.transpose.int(view_5, 1, 2)
linear_8 : float32[N, 16, 256] = aten.linear.default(layer_norm_2, encoder_encoder_layer_1_attention_self_value_weight, encoder_encoder_layer_1_attention_self_value_bias)
view_6 : float32[N, 16, 4, 64] = aten.reshape.default(linear_8, [sym_size_int_2, 16, -1, 64])
transpose_7 : float32[N, 4, 16, 64] = aten.transpose.int(view_6, 1, 2)
transpose_8 : float32[N, 4, 64, 16] = aten.transpose.int(transpose_6, 2, 3)
matmul_2 : float32[N, 4, 16, 16] = aten.matmul.default(transpose_5, transpose_8)
mul_110 : float32[N, 4, 16, 16] = aten.mul.Tensor(matmul_2, 0.125)
add_238 : float32[N, 4, 16, 16] = aten.add.Tensor(mul_110, where)
softmax_1 : float32[N, 4, 16, 16] = aten.softmax.int(add_238, -1)
clone_5 : float32[N, 4, 16, 16] = aten.clone.default(softmax_1)
matmul_3 : float32[N, 4, 16, 64] = aten.matmul.default(clone_5, transpose_7)
transpose_9 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_3, 1, 2)
clone_6 : float32[N, 16, 4, 64] = aten.clone.default(transpose_9, memory_format=torch.contiguous_format)
view_7 : float32[N, 16, 256] = aten.reshape.default(clone_6, [sym_size_int_2, 16, -1])
linear_9 : float32[N, 16, 256] = aten.linear.default(view_7, encoder_encoder_layer_1_attention_output_dense_weight, encoder_encoder_layer_1_attention_output_dense_bias)
clone_7 : float32[N, 16, 256] = aten.clone.default(linear_9)
add_281 : float32[N, 16, 256] = aten.add.Tensor(clone_7, layer_norm_2)
layer_norm_3 : float32[N, 16, 256] = aten.layer_norm.default(add_281, [256], encoder_encoder_layer_1_attention_output_LayerNorm_weight, encoder_encoder_layer_1_attention_output_LayerNorm_bias, 1e-12, False)
linear_10 : float32[N, 16, 1024] = aten.linear.default(layer_norm_3, encoder_encoder_layer_1_intermediate_dense_weight, encoder_encoder_layer_1_intermediate_dense_bias)
gelu_1 : float32[N, 16, 1024] = aten.gelu.default(linear_10)
linear_11 : float32[N, 16, 256] = aten.linear.default(gelu_1, encoder_encoder_layer_1_output_dense_weight, encoder_encoder_layer_1_output_dense_bias)
clone_8 : float32[N, 16, 256] = aten.clone.default(linear_11)
add_306 : float32[N, 16, 256] = aten.add.Tensor(clone_8, layer_norm_3)
layer_norm_4 : float32[N, 16, 256] = aten.layer_norm.default(add_306, [256], encoder_encoder_layer_1_output_LayerNorm_weight, encoder_encoder_layer_1_output_LayerNorm_bias, 1e-12, False)
linear_12 : float32[N, 16, 256] = aten.linear.default(layer_norm_4, encoder_encoder_layer_2_attention_self_query_weight, encoder_encoder_layer_2_attention_self_query_bias)
view_8 : float32[N, 16, 4, 64] = aten.reshape.default(linear_12, [sym_size_int_2, 16, -1, 64])
transpose_10 : float32[N, 4, 16, 64] = aten.transpose.int(view_8, 1, 2)
linear_13 : float32[N, 16, 256] = aten.linear.default(layer_norm_4, encoder_encoder_layer_2_attention_self_key_weight, encoder_encoder_layer_2_attention_self_key_bias)
view_9 : float32[N, 16, 4, 64] = aten.reshape.default(linear_13, [sym_size_int_2, 16, -1, 64])
transpose_11 : float32[N, 4, 16, 64] = aten.transpose.int(view_9, 1, 2)
linear_14 : float32[N, 16, 256] = aten.linear.default(layer_norm_4, encoder_encoder_layer_2_attention_self_value_weight, encoder_encoder_layer_2_attention_self_value_bias)
view_10 : float32[N, 16, 4, 64] = aten.reshape.default(linear_14, [sym_size_int_2, 16, -1, 64])
transpose_12 : float32[N, 4, 16, 64] = aten.transpose.int(view_10, 1, 2)
transpose_13 : float32[N, 4, 64, 16] = aten.transpose.int(transpose_11, 2, 3)
matmul_4 : float32[N, 4, 16, 16] = aten.matmul.default(transpose_10, transpose_13)
mul_178 : float32[N, 4, 16, 16] = aten.mul.Tensor(matmul_4, 0.125)
add_372 : float32[N, 4, 16, 16] = aten.add.Tensor(mul_178, where)
softmax_2 : float32[N, 4, 16, 16] = aten.softmax.int(add_372, -1)
clone_9 : float32[N, 4, 16, 16] = aten.clone.default(softmax_2)
matmul_5 : float32[N, 4, 16, 64] = aten.matmul.default(clone_9, transpose_12)
transpose_14 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_5, 1, 2)
clone_10 : float32[N, 16, 4, 64] = aten.clone.default(transpose_14, memory_format=torch.contiguous_format)
view_11 : float32[N, 16, 256] = aten.reshape.default(clone_10, [sym_size_int_2, 16, -1])
linear_15 : float32[N, 16, 256] = aten.linear.default(view_11, encoder_encoder_layer_2_attention_output_dense_weight, encoder_encoder_layer_2_attention_output_dense_bias)
clone_11 : float32[N, 16, 256] = aten.clone.default(linear_15)
add_415 : float32[N, 16, 256] = aten.add.Tensor(clone_11, layer_norm_4)
layer_norm_5 : float32[N, 16, 256] = aten.layer_norm.default(add_415, [256], encoder_encoder_layer_2_attention_output_LayerNorm_weight, encoder_encoder_layer_2_attention_output_LayerNorm_bias, 1e-12, False)
linear_16 : float32[N, 16, 1024] = aten.linear.default(layer_norm_5, encoder_encoder_layer_2_intermediate_dense_weight, encoder_encoder_layer_2_intermediate_dense_bias)
gelu_2 : float32[N, 16, 1024] = aten.gelu.default(linear_16)
linear_17 : float32[N, 16, 256] = aten.linear.default(gelu_2, encoder_encoder_layer_2_output_dense_weight, encoder_encoder_layer_2_output_dense_bias)
clone_12 : float32[N, 16, 256] = aten.clone.default(linear_17)
add_440 : float32[N, 16, 256] = aten.add.Tensor(clone_12, layer_norm_5)
layer_norm_6 : float32[N, 16, 256] = aten.layer_norm.default(add_440, [256], encoder_encoder_layer_2_output_LayerNorm_weight, encoder_encoder_layer_2_output_LayerNorm_bias, 1e-12, False)
linear_18 : float32[N, 16, 256] = aten.linear.default(layer_norm_6, encoder_encoder_layer_3_attention_self_query_weight, encoder_encoder_layer_3_attention_self_query_bias)
view_12 : float32[N, 16, 4, 64] = aten.reshape.default(linear_18, [sym_size_int_2, 16, -1, 64])
transpose_15 : float32[N, 4, 16, 64] = aten.transpose.int(view_12, 1, 2)
linear_19 : float32[N, 16, 256] = aten.linear.default(layer_norm_6, encoder_encoder_layer_3_attention_self_key_weight, encoder_encoder_layer_3_attention_self_key_bias)
view_13 : float32[N, 16, 4, 64] = aten.reshape.default(linear_19, [sym_size_int_2, 16, -1, 64])
transpose_16 : float32[N, 4, 16, 64] = aten.transpose.int(view_13, 1, 2)
linear_20 : float32[N, 16, 256] = aten.linear.default(layer_norm_6, encoder_encoder_layer_3_attention_self_value_weight, encoder_encoder_layer_3_attention_self_value_bias)
view_14 : float32[N, 16, 4, 64] = aten.reshape.default(linear_20, [sym_size_int_2, 16, -1, 64])
transpose_17 : float32[N, 4, 16, 64] = aten.transpose.int(view_14, 1, 2)
transpose_18 : float32[N, 4, 64, 16] = aten.transpose.int(transpose_16, 2, 3)
matmul_6 : float32[N, 4, 16, 16] = aten.matmul.default(transpose_15, transpose_18)
mul_246 : float32[N, 4, 16, 16] = aten.mul.Tensor(matmul_6, 0.125)
add_506 : float32[N, 4, 16, 16] = aten.add.Tensor(mul_246, where)
softmax_3 : float32[N, 4, 16, 16] = aten.softmax.int(add_506, -1)
clone_13 : float32[N, 4, 16, 16] = aten.clone.default(softmax_3)
matmul_7 : float32[N, 4, 16, 64] = aten.matmul.default(clone_13, transpose_17)
transpose_19 : float32[N, 16, 4, 64] = aten.transpose.int(matmul_7, 1, 2)
clone_14 : float32[N, 16, 4, 64] = aten.clone.default(transpose_19, memory_format=torch.contiguous_format)
view_15 : float32[N, 16, 256] = aten.reshape.default(clone_14, [sym_size_int_2, 16, -1])
linear_21 : float32[N, 16, 256] = aten.linear.default(view_15, encoder_encoder_layer_3_attention_output_dense_weight, encoder_encoder_layer_3_attention_output_dense_bias)
clone_15 : float32[N, 16, 256] = aten.clone.default(linear_21)
add_549 : float32[N, 16, 256] = aten.add.Tensor(clone_15, layer_norm_6)
layer_norm_7 : float32[N, 16, 256] = aten.layer_norm.default(add_549, [256], encoder_encoder_layer_3_attention_output_LayerNorm_weight, encoder_encoder_layer_3_attention_output_LayerNorm_bias, 1e-12, False)
linear_22 : float32[N, 16, 1024] = aten.linear.default(layer_norm_7, encoder_encoder_layer_3_intermediate_dense_weight, encoder_encoder_layer_3_intermediate_dense_bias)
gelu_3 : float32[N, 16, 1024] = aten.gelu.default(linear_22)
linear_23 : float32[N, 16, 256] = aten.linear.default(gelu_3, encoder_encoder_layer_3_output_dense_weight, encoder_encoder_layer_3_output_dense_bias)
clone_16 : float32[N, 16, 256] = aten.clone.default(linear_23)
add_574 : float32[N, 16, 256] = aten.add.Tensor(clone_16, layer_norm_7)
layer_norm_8 : float32[N, 16, 256] = aten.layer_norm.default(add_574, [256], encoder_encoder_layer_3_output_LayerNorm_weight, encoder_encoder_layer_3_output_LayerNorm_bias, 1e-12, False)
return [layer_norm_8]
