fxopt program 1
dim N = 1..16 @ 2
input x : float32[N, 3, 16, 16]
tensor bias : float32[32]
tensor conv_bias : float32[16]
tensor conv_weight : float32[16, 3, 3, 3]
tensor direction : float32[32, 16]
tensor length : float32[32, 1]
tensor mean : float32[3, 1, 1]
tensor narrow_bias : float32[4]
tensor narrow_weight : float32[4, 32]
tensor std : float32[3, 1, 1]
tensor weight : float32[32]
tensor wide_bias : float32[8]
tensor wide_weight : float32[8, 4]
interface {"outputs": ["linear_2"], "parameters": ["x"], "arguments": {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}, "results": {"leaf": 0}}
sub : float32[N, 3, 16, 16] = aten.sub.Tensor(x, mean)
div : float32[N, 3, 16, 16] = aten.div.Tensor(sub, std)
pad : float32[N, 3, 18, 18] = aten.pad.default(div, [1, 1, 1, 1])
conv2d : float32[N, 16, 8, 8] = aten.conv2d.default(pad, conv_weight, conv_bias, [2, 2])
add_20 : float32[N, 16, 8, 8] = aten.add.Tensor(conv2d, 3)
relu6 : float32[N, 16, 8, 8] = aten.relu6.default(add_20)
div_1 : float32[N, 16, 8, 8] = aten.div.Tensor(relu6, 6)
mul_14 : float32[N, 16, 8, 8] = aten.mul.Tensor(conv2d, div_1)
clone : float32[N, 16, 8, 8] = aten.clone.default(mul_14)
permute : float32[N, 8, 8, 16] = aten.permute.default(clone, [0, 2, 3, 1])
permute_1 : float32[N, 16, 8, 8] = aten.permute.default(permute, [0, 3, 1, 2])
mean_1 : float32[N, 16] = aten.mean.dim(permute_1, [2, 3])
mul_25 : float32[N, 16] = aten.mul.Tensor(mean_1, 1.0)
linalg_vector_norm : float32[32, 1] = aten.linalg_vector_norm.default(direction, 2, [1], True)
div_2 : float32[32, 1] = aten.div.Tensor(length, linalg_vector_norm)
mul_28 : float32[32, 16] = aten.mul.Tensor(direction, div_2)
linear : float32[N, 32] = aten.linear.default(mul_25, mul_28)
mean_2 : float32[N, 1] = aten.mean.dim(linear, [-1], True)
sub_16 : float32[N, 32] = aten.sub.Tensor(linear, mean_2)
mean_3 : float32[N, 1] = aten.mean.dim(linear, [-1], True)
sub_19 : float32[N, 32] = aten.sub.Tensor(linear, mean_3)
pow_1 : float32[N, 32] = aten.pow.Tensor_Scalar(sub_19, 2)
mean_4 : float32[N, 1] = aten.mean.dim(pow_1, [-1], True)
add_83 : float32[N, 1] = aten.add.Tensor(mean_4, 1e-05)
sqrt : float32[N, 1] = aten.sqrt.default(add_83)
div_3 : float32[N, 32] = aten.div.Tensor(sub_16, sqrt)
mul_44 : float32[N, 32] = aten.mul.Tensor(div_3, weight)
add_96 : float32[N, 32] = aten.add.Tensor(mul_44, bias)
mul_49 : float32[N, 32] = aten.mul.Tensor(add_96, 0.5)
div_4 : float32[N, 32] = aten.div.Tensor(add_96, 1.4142135623730951)
erf : float32[N, 32] = aten.erf.default(div_4)
add_109 : float32[N, 32] = aten.add.Tensor(erf, 1)
mul_58 : float32[N, 32] = aten.mul.Tensor(mul_49, add_109)
linear_1 : float32[N, 4] = aten.linear.default(mul_58, narrow_weight, narrow_bias)
linear_2 : float32[N, 8] = aten.linear.default(linear_1, wide_weight, wide_bias)
return [linear_2]
