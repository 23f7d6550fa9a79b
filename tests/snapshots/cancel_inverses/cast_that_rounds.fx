fxopt snapshot 1
pass cancel_inverses
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["mul"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
_to_copy : float16[3, 4] = aten._to_copy.default(inputs_0, dtype=torch.float16)
_to_copy_1 : float32[3, 4] = aten._to_copy.default(_to_copy, dtype=torch.float32)
mul : float32[3, 4] = aten.mul.Tensor(_to_copy_1, 2)
return [mul]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["mul"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
_to_copy : float16[3, 4] = aten._to_copy.default(inputs_0, dtype=torch.float16)
_to_copy_1 : float32[3, 4] = aten._to_copy.default(_to_copy, dtype=torch.float32)
mul : float32[3, 4] = aten.mul.Tensor(_to_copy_1, 2)
return [mul]
== declines
_to_copy_1: the cast from float32 to float16 loses digits
