fxopt snapshot 1
pass merge_parallel
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 5, 8]
tensor a_bias : float32[4]
tensor a_weight : float32[4, 8]
tensor b_bias : float32[4]
tensor b_weight : float32[4, 8]
tensor k_bias : float32[8]
tensor k_weight : float32[8, 8]
tensor q_bias : float32[8]
tensor q_weight : float32[8, 8]
tensor v_bias : float32[8]
tensor v_weight : float32[8, 8]
interface {"outputs": ["add_36"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[N, 5, 8] = aten.linear.default(inputs_0, q_weight, q_bias)
linear_1 : float32[N, 5, 8] = aten.linear.default(inputs_0, k_weight, k_bias)
linear_2 : float32[N, 5, 8] = aten.linear.default(inputs_0, v_weight, v_bias)
scaled_dot_product_attention : float32[N, 5, 8] = aten.scaled_dot_product_attention.default(linear, linear_1, linear_2)
linear_3 : float32[N, 5, 4] = aten.linear.default(inputs_0, a_weight, a_bias)
relu : float32[N, 5, 4] = aten.relu.default(linear_3)
linear_4 : float32[N, 5, 4] = aten.linear.default(inputs_0, b_weight, b_bias)
relu_1 : float32[N, 5, 4] = aten.relu.default(linear_4)
cat : float32[N, 5, 8] = aten.cat.default([relu, relu_1], 2)
add_36 : float32[N, 5, 8] = aten.add.Tensor(scaled_dot_product_attention, cat)
return [add_36]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 5, 8]
tensor linear__bias_d261 : float32[32]
tensor linear__weight_d261 : float32[32, 8]
interface {"outputs": ["add_36"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear__linear_d261 : float32[N, 5, 32] = aten.linear.default(inputs_0, linear__weight_d261, linear__bias_d261)
linear__split_d261 : (float32[N, 5, 8], float32[N, 5, 8], float32[N, 5, 8], float32[N, 5, 4], float32[N, 5, 4]) = aten.split_with_sizes.default(linear__linear_d261, [8, 8, 8, 4, 4], 2)
linear__part_d261_4 : float32[N, 5, 4] = operator.getitem(linear__split_d261, 4)
linear__part_d261_3 : float32[N, 5, 4] = operator.getitem(linear__split_d261, 3)
linear__part_d261_2 : float32[N, 5, 8] = operator.getitem(linear__split_d261, 2)
linear__part_d261_1 : float32[N, 5, 8] = operator.getitem(linear__split_d261, 1)
linear__part_d261 : float32[N, 5, 8] = operator.getitem(linear__split_d261, 0)
scaled_dot_product_attention : float32[N, 5, 8] = aten.scaled_dot_product_attention.default(linear__part_d261, linear__part_d261_1, linear__part_d261_2)
relu : float32[N, 5, 4] = aten.relu.default(linear__part_d261_3)
relu_1 : float32[N, 5, 4] = aten.relu.default(linear__part_d261_4)
cat : float32[N, 5, 8] = aten.cat.default([relu, relu_1], 2)
add_36 : float32[N, 5, 8] = aten.add.Tensor(scaled_dot_product_attention, cat)
return [add_36]
== declines
