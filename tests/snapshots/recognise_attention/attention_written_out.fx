fxopt snapshot 1
pass recognise_attention
== before
fxopt program 1
input inputs_0 : float32[2, 5, 8]
input inputs_1 : float32[5, 5]
tensor project_bias : float32[24]
tensor project_weight : float32[24, 8]
interface {"outputs": ["matmul_1"], "parameters": ["inputs_0", "inputs_1"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 5, 24] = aten.linear.default(inputs_0, project_weight, project_bias)
split : (float32[2, 5, 8], float32[2, 5, 8], float32[2, 5, 8]) = aten.split.Tensor(linear, 8, -1)
getitem : float32[2, 5, 8] = operator.getitem(split, 0)
getitem_1 : float32[2, 5, 8] = operator.getitem(split, 1)
getitem_2 : float32[2, 5, 8] = operator.getitem(split, 2)
view : float32[2, 5, 2, 4] = aten.reshape.default(getitem, [2, 5, 2, 4])
transpose : float32[2, 2, 5, 4] = aten.transpose.int(view, 1, 2)
view_1 : float32[2, 5, 2, 4] = aten.reshape.default(getitem_1, [2, 5, 2, 4])
transpose_1 : float32[2, 2, 5, 4] = aten.transpose.int(view_1, 1, 2)
view_2 : float32[2, 5, 2, 4] = aten.reshape.default(getitem_2, [2, 5, 2, 4])
transpose_2 : float32[2, 2, 5, 4] = aten.transpose.int(view_2, 1, 2)
transpose_3 : float32[2, 2, 4, 5] = aten.transpose.int(transpose_1, -2, -1)
matmul : float32[2, 2, 5, 5] = aten.matmul.default(transpose, transpose_3)
mul : float32[2, 2, 5, 5] = aten.mul.Tensor(matmul, 0.5)
add : float32[2, 2, 5, 5] = aten.add.Tensor(mul, inputs_1)
softmax : float32[2, 2, 5, 5] = aten.softmax.int(add, -1)
matmul_1 : float32[2, 2, 5, 4] = aten.matmul.default(softmax, transpose_2)
return [matmul_1]
== after
fxopt program 1
input inputs_0 : float32[2, 5, 8]
input inputs_1 : float32[5, 5]
tensor project_bias : float32[24]
tensor project_weight : float32[24, 8]
interface {"outputs": ["matmul_1"], "parameters": ["inputs_0", "inputs_1"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 5, 24] = aten.linear.default(inputs_0, project_weight, project_bias)
split : (float32[2, 5, 8], float32[2, 5, 8], float32[2, 5, 8]) = aten.split.Tensor(linear, 8, -1)
getitem : float32[2, 5, 8] = operator.getitem(split, 0)
getitem_1 : float32[2, 5, 8] = operator.getitem(split, 1)
getitem_2 : float32[2, 5, 8] = operator.getitem(split, 2)
view : float32[2, 5, 2, 4] = aten.reshape.default(getitem, [2, 5, 2, 4])
transpose : float32[2, 2, 5, 4] = aten.transpose.int(view, 1, 2)
view_1 : float32[2, 5, 2, 4] = aten.reshape.default(getitem_1, [2, 5, 2, 4])
transpose_1 : float32[2, 2, 5, 4] = aten.transpose.int(view_1, 1, 2)
view_2 : float32[2, 5, 2, 4] = aten.reshape.default(getitem_2, [2, 5, 2, 4])
transpose_2 : float32[2, 2, 5, 4] = aten.transpose.int(view_2, 1, 2)
matmul_1__attention_0398 : float32[2, 2, 5, 4] = aten.scaled_dot_product_attention.default(transpose, transpose_1, transpose_2, inputs_1, scale=0.5)
return [matmul_1__attention_0398]
== declines
