fxopt snapshot 1
pass recognise_normalization
== before
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 8]
tensor bias : float32[8]
tensor weight : float32[8]
interface {"outputs": ["mul_27"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
mean : float32[N, 4, 1] = aten.mean.dim(inputs_0, [-1], True)
sub_1 : float32[N, 4, 8] = aten.sub.Tensor(inputs_0, mean)
pow_1 : float32[N, 4, 8] = aten.pow.Tensor_Scalar(sub_1, 2)
mean_1 : float32[N, 4, 1] = aten.mean.dim(pow_1, [-1], True)
add_16 : float32[N, 4, 1] = aten.add.Tensor(mean_1, 1e-05)
sqrt : float32[N, 4, 1] = aten.sqrt.default(add_16)
div : float32[N, 4, 8] = aten.div.Tensor(sub_1, sqrt)
mul_14 : float32[N, 4, 8] = aten.mul.Tensor(div, weight)
add_33 : float32[N, 4, 8] = aten.add.Tensor(mul_14, bias)
pow_2 : float32[N, 4, 8] = aten.pow.Tensor_Scalar(add_33, 2)
mean_2 : float32[N, 4, 1] = aten.mean.dim(pow_2, [-1], True)
add_46 : float32[N, 4, 1] = aten.add.Tensor(mean_2, 1e-06)
rsqrt : float32[N, 4, 1] = aten.rsqrt.default(add_46)
mul_27 : float32[N, 4, 8] = aten.mul.Tensor(add_33, rsqrt)
return [mul_27]
== after
fxopt program 1
dim N = 1..16 @ 2
input inputs_0 : float32[N, 4, 8]
tensor bias : float32[8]
tensor weight : float32[8]
interface {"outputs": ["mul_27"], "parameters": ["inputs_0"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
add_33__layer_norm_3c4f : float32[N, 4, 8] = aten.layer_norm.default(inputs_0, [8], weight, bias, 1e-05)
mul_27__rms_norm_0db6 : float32[N, 4, 8] = aten.rms_norm.default(add_33__layer_norm_3c4f, [8], None, 1e-06)
return [mul_27__rms_norm_0db6]
== declines
