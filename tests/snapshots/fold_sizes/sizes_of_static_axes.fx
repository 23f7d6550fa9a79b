fxopt snapshot 1
pass fold_sizes
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 3, 4]
interface {"outputs": ["exp"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
relu : float32[N, 3, 4] = aten.relu.default(inputs_0)
sym_size_1 : int = aten.sym_size.int(relu, 2)
sym_size : int = aten.sym_size.int(relu, 1)
sym_max : int = torch.sym_max(sym_size, sym_size_1)
reshape : float32[N, 3, 4] = aten.reshape.default(relu, [-1, sym_size, sym_max])
exp : float32[N, 3, 4] = aten.exp.default(reshape)
return [exp]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 3, 4]
interface {"outputs": ["exp"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
relu : float32[N, 3, 4] = aten.relu.default(inputs_0)
reshape__reshape_64ba : float32[N, 3, 4] = aten.reshape.default(relu, [-1, 3, 4])
exp : float32[N, 3, 4] = aten.exp.default(reshape__reshape_64ba)
return [exp]
== declines
