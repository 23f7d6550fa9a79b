fxopt snapshot 1
pass recognise_attention
== before
fxopt program 1
input inputs_0 : float32[2, 5, 8]
input inputs_1 : bool[5, 5]
tensor project_bias : float32[24]
tensor project_weight : float32[24, 8]
interface {"outputs": ["matmul_1"], "parameters": ["inputs_0", "inputs_1"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 5, 24] = aten.linear.default(inputs_0, project_weight, project_bias)
split : (float32[2, 5, 8], float32[2, 5, 8], float32[2, 5, 8]) = aten.split.Tensor(linear, 8, -1)
getitem : float32[2, 5, 8] = operator.getitem(split, 0)
getitem_1 : float32[2, 5, 8] = operator.getitem(split, 1)
getitem_2 : float32[2, 5, 8] = operator.getitem(split, 2)
transpose : float32[2, 8, 5] = aten.transpose.int(getitem_1, -2, -1)
matmul : float32[2, 5, 5] = aten.matmul.default(getitem, transpose)
masked_fill : float32[2, 5, 5] = aten.masked_fill.Scalar(matmul, inputs_1, -10000.0)
softmax : float32[2, 5, 5] = aten.softmax.int(masked_fill, -1)
matmul_1 : float32[2, 5, 8] = aten.matmul.default(softmax, getitem_2)
return [matmul_1]
== after
fxopt program 1
input inputs_0 : float32[2, 5, 8]
input inputs_1 : bool[5, 5]
tensor project_bias : float32[24]
tensor project_weight : float32[24, 8]
interface {"outputs": ["matmul_1"], "parameters": ["inputs_0", "inputs_1"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}, {"leaf": 1}]}, {"dict": {}}]}, "results": {"leaf": 0}}
linear : float32[2, 5, 24] = aten.linear.default(inputs_0, project_weight, project_bias)
split : (float32[2, 5, 8], float32[2, 5, 8], float32[2, 5, 8]) = aten.split.Tensor(linear, 8, -1)
getitem : float32[2, 5, 8] = operator.getitem(split, 0)
getitem_1 : float32[2, 5, 8] = operator.getitem(split, 1)
getitem_2 : float32[2, 5, 8] = operator.getitem(split, 2)
transpose : float32[2, 8, 5] = aten.transpose.int(getitem_1, -2, -1)
matmul : float32[2, 5, 5] = aten.matmul.default(getitem, transpose)
masked_fill : float32[2, 5, 5] = aten.masked_fill.Scalar(matmul, inputs_1, -10000.0)
softmax : float32[2, 5, 5] = aten.softmax.int(masked_fill, -1)
matmul_1 : float32[2, 5, 8] = aten.matmul.default(softmax, getitem_2)
return [matmul_1]
== declines
matmul_1: masked scores are -10000, not -inf: rows that see nothing would change
