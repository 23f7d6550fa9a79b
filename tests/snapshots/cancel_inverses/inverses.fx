fxopt snapshot 1
pass cancel_inverses
== before
fxopt program 1
input inputs_0 : float32[2, 3, 4]
interface {"outputs": ["mul"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
transpose : float32[2, 4, 3] = aten.transpose.int(inputs_0, 1, 2)
transpose_1 : float32[2, 3, 4] = aten.transpose.int(transpose, 2, 1)
_to_copy : float64[2, 3, 4] = aten._to_copy.default(transpose_1, dtype=torch.float64)
_to_copy_1 : float32[2, 3, 4] = aten._to_copy.default(_to_copy, dtype=torch.float32)
relu : float32[2, 3, 4] = aten.relu.default(_to_copy_1)
relu6 : float32[2, 3, 4] = aten.relu6.default(relu)
view : float32[2, 12] = aten.reshape.default(relu6, [2, 12])
view_1 : float32[6, 4] = aten.reshape.default(view, [6, 4])
mul : float32[6, 4] = aten.mul.Tensor(view_1, 2)
return [mul]
== after
fxopt program 1
input inputs_0 : float32[2, 3, 4]
interface {"outputs": ["mul"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
relu6__clamp_e041 : float32[2, 3, 4] = aten.relu6.default(inputs_0)
view_1__reshape_6db3 : float32[6, 4] = aten.reshape.default(relu6__clamp_e041, [6, 4])
mul : float32[6, 4] = aten.mul.Tensor(view_1__reshape_6db3, 2)
return [mul]
== declines
