fxopt snapshot 1
pass remove_identities
== before
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
clone : float32[3, 4] = aten.clone.default(inputs_0)
mul : float32[3, 4] = aten.mul.Tensor(clone, 1)
add : float32[3, 4] = aten.add.Tensor(mul, 0)
view : float32[3, 4] = aten.reshape.default(add, [3, 4])
relu : float32[3, 4] = aten.relu.default(view)
return [relu]
== after
fxopt program 1
input inputs_0 : float32[3, 4]
interface {"outputs": ["relu"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
relu : float32[3, 4] = aten.relu.default(inputs_0)
return [relu]
== declines
