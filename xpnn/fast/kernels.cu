// The train step's own CUDA kernels: each does in one pass what several array operations of the reference do.
//
// REAL is float or double, given to the compiler. Matrices lie by rows. Every sum is taken in an order that depends on
// the shapes alone, never by floating-point atomics, so that a run repeats bit for bit. `xpnn/fast/fused.py` launches
// them and says what each stands for; tests run this very file on the CPU, threads and blocks emulated. CuPy compiles
// with -ftz=true: float32 numbers below the smallest normal one count as 0.

enum Activation { IDENTITY, SIGMOID, TANH, RELU };
enum Loss { SQUARED_ERROR, CROSS_ENTROPY, BINARY_CROSS_ENTROPY };

#define WARP 32
#define WHOLE_WARP 0xffffffffu

// tiny, the smallest normal number: a y of 0 counts as this where its logarithm is taken; rest: what 1 - y is at least,
// half the gap below 1 (see xpnn/losses.py); lowest: below all finite numbers but itself.
template <typename T> struct Limits;
template <> struct Limits<float> {
  static constexpr float tiny = 1.17549435e-38f, rest = 2.98023224e-8f, lowest = -3.40282347e38f;
};
template <> struct Limits<double> {
  static constexpr double tiny = 2.2250738585072014e-308, rest = 5.5511151231257827e-17;
  static constexpr double lowest = -1.7976931348623157e308;
};

// Unlike fmax, it leaves what is not a number as it is, so that a net that diverges is found out.
static __device__ REAL at_least(REAL limit, REAL value) { return value < limit ? limit : value; }

static __device__ REAL activated(REAL z, int activation) {
  switch (activation) {
    case SIGMOID: return 1 / (1 + exp(-z));  // 0 where exp overflows
    case TANH: return tanh(z);
    case RELU: return at_least(0, z);
    default: return z;
  }
}

// f'(z) from y = f(z).
static __device__ REAL slope(REAL y, int activation) {
  switch (activation) {
    case SIGMOID: return y * (1 - y);
    case TANH: return 1 - y * y;
    case RELU: return y > 0 ? 1 : 0;
    default: return 1;
  }
}

static __device__ REAL sum_of_warp(REAL value) {
  for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(WHOLE_WARP, value, distance);
  return value;
}

static __device__ REAL largest_of_warp(REAL value) {
  for (int distance = WARP / 2; distance > 0; distance /= 2)
    value = fmax(value, __shfl_xor_sync(WHOLE_WARP, value, distance));
  return value;
}

// A batch: inputs, scaled, into x (n, n_in); targets into t (n, n_out), and labels or weights where there are any.
// A block a row.
template <typename INPUT>
static __device__ void gather(
    const INPUT *inputs, const long long *rows, int n_in, REAL factor, REAL offset, REAL *x,
    const long long *all_labels, const REAL *all_targets, int n_out, int has_labels, long long *labels, REAL *t,
    const REAL *all_weights, int has_weights, REAL *weights) {
  const long long row = rows[blockIdx.x], to = blockIdx.x;
  for (int i = threadIdx.x; i < n_in; i += blockDim.x)
    x[to * n_in + i] = static_cast<REAL>(inputs[row * n_in + i]) * factor + offset;
  const long long from = has_labels ? all_labels[row] : row;  // all_targets has a row for each label, or each row
  for (int i = threadIdx.x; i < n_out; i += blockDim.x) t[to * n_out + i] = all_targets[from * n_out + i];
  if (threadIdx.x == 0 && has_labels) labels[to] = from;
  if (threadIdx.x == 0 && has_weights) weights[to] = all_weights[row];
}

extern "C" __global__ void gather_pixels(
    const unsigned char *inputs, const long long *rows, int n_in, REAL factor, REAL offset, REAL *x,
    const long long *all_labels, const REAL *all_targets, int n_out, int has_labels, long long *labels, REAL *t,
    const REAL *all_weights, int has_weights, REAL *weights) {
  gather(inputs, rows, n_in, factor, offset, x, all_labels, all_targets, n_out, has_labels, labels, t, all_weights,
         has_weights, weights);
}

extern "C" __global__ void gather_floats(
    const REAL *inputs, const long long *rows, int n_in, REAL factor, REAL offset, REAL *x,
    const long long *all_labels, const REAL *all_targets, int n_out, int has_labels, long long *labels, REAL *t,
    const REAL *all_weights, int has_weights, REAL *weights) {
  gather(inputs, rows, n_in, factor, offset, x, all_labels, all_targets, n_out, has_labels, labels, t, all_weights,
         has_weights, weights);
}

// z (size / units, units) becomes f(z + b).
extern "C" __global__ void activate(
    REAL *z, const REAL *b, long long size, int units, int has_bias, int activation) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride)
    z[i] = activated(has_bias ? z[i] + b[i % units] : z[i], activation);
}

// A row of z (units) becomes f(z + b), or with the IDENTITY the softmax of it. For a warp.
static __device__ void activate_row(REAL *z, const REAL *b, int units, int has_bias, int activation, int is_softmax) {
  const int lane = threadIdx.x % WARP;
  REAL largest = Limits<REAL>::lowest, sum = 0;
  for (int i = lane; i < units; i += WARP) {
    const REAL inputs = has_bias ? z[i] + b[i] : z[i];
    z[i] = activated(inputs, activation);
    largest = fmax(largest, inputs);
  }
  if (!is_softmax) return;
  largest = largest_of_warp(largest);
  for (int i = lane; i < units; i += WARP) sum += z[i] = exp(z[i] - largest);
  sum = sum_of_warp(sum);
  for (int i = lane; i < units; i += WARP) z[i] /= sum;
}

// Each row of z (n, units) becomes the softmax of z + b. A warp a row.
extern "C" __global__ void softmax(REAL *z, const REAL *b, int n, int units, int has_bias) {
  const int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
  if (row < n) activate_row(z + static_cast<long long>(row) * units, b, units, has_bias, IDENTITY, true);
}

static __device__ REAL loss_of(REAL y, REAL t, int loss) {
  switch (loss) {
    case CROSS_ENTROPY: return -t * log(at_least(Limits<REAL>::tiny, y));
    case BINARY_CROSS_ENTROPY:
      return -t * log(at_least(Limits<REAL>::tiny, y)) - (1 - t) * log(at_least(Limits<REAL>::rest, 1 - y));
    default: return (y - t) * (y - t) / 2;
  }
}

// Each row of z (n, n_out), the output layer's sums, becomes y = f(z + b), or its softmax. Of y: its loss, whether its
// largest output is its label's, and error = (y - t) share weight, share being 1 / n. A warp a row.
extern "C" __global__ void measure(
    REAL *z, const REAL *b, const REAL *t, const REAL *weights, const long long *labels, int n, int n_out, REAL share,
    int has_bias, int has_weights, int has_labels, int activation, int is_softmax, int loss, REAL *error, REAL *losses,
    bool *hits) {
  const int row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (row >= n) return;
  const long long start = static_cast<long long>(row) * n_out;
  const REAL weight = has_weights ? weights[row] : 1;
  activate_row(z + start, b, n_out, has_bias, activation, is_softmax);  // a lane reads below what it wrote itself
  REAL sum = 0, largest = Limits<REAL>::lowest;
  int place = n_out;  // of the largest output; the first of several
  for (int i = lane; i < n_out; i += WARP) {
    const REAL output = z[start + i], target = t[start + i];
    sum += loss_of(output, target, loss);
    error[start + i] = (output - target) * share * weight;
    if (output > largest) {
      largest = output;
      place = i;
    }
  }
  sum = sum_of_warp(sum);
  for (int distance = WARP / 2; distance > 0; distance /= 2) {
    const REAL other = __shfl_xor_sync(WHOLE_WARP, largest, distance);
    const int its_place = __shfl_xor_sync(WHOLE_WARP, place, distance);
    if (other > largest || (other == largest && its_place < place)) {
      largest = other;
      place = its_place;
    }
  }
  if (lane) return;
  losses[row] = sum * weight;
  if (has_labels) hits[row] = place == labels[row];
}

#define COUNTING 256

// The rows' losses and hits added to the totals, and the row of the table fetched that belongs to the first of these
// `updates`, each of n / updates rows. One block of COUNTING.
extern "C" __global__ void count(
    const REAL *losses, const bool *hits, int n, int updates, int has_labels, double *total_loss,
    long long *total_hits, long long *finite_count, const REAL *table, int columns, long long *position, REAL *row) {
  __shared__ double sums[COUNTING];
  __shared__ int found[COUNTING];
  __shared__ int finite[COUNTING];
  double sum = 0;
  int hit_count = 0, finite_rows = n;  // before the first whose loss is not finite
  for (int i = threadIdx.x; i < n; i += COUNTING) {
    sum += losses[i];
    if (has_labels) hit_count += hits[i];
    if (!isfinite(losses[i])) finite_rows = min(finite_rows, i);
  }
  sums[threadIdx.x] = sum;
  found[threadIdx.x] = hit_count;
  finite[threadIdx.x] = finite_rows;
  for (int half = COUNTING / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      sums[threadIdx.x] += sums[threadIdx.x + half];
      found[threadIdx.x] += found[threadIdx.x + half];
      finite[threadIdx.x] = min(finite[threadIdx.x], finite[threadIdx.x + half]);
    }
  }
  const long long here = *position;
  for (int i = threadIdx.x; i < columns; i += COUNTING) row[i] = table[here * columns + i];
  __syncthreads();  // all have read the position
  if (threadIdx.x) return;
  *position = here + updates;
  if (isfinite(*total_loss)) *finite_count += static_cast<long long>(finite[0]) * updates / n;
  *total_loss += sums[0];
  if (has_labels) *total_hits += found[0];
}

#define LANES 32

// delta (n, units), which is dL/dy, becomes dL/dz, and grad_b its sums over the rows. Blocks of WARP columns x LANES.
extern "C" __global__ void __launch_bounds__(WARP * LANES) differentiate(
    REAL *__restrict__ delta, const REAL *__restrict__ y, REAL *__restrict__ grad_b, int n, int units, int has_bias,
    int activation) {
  __shared__ REAL sums[LANES][WARP];
  const int column = blockIdx.x * WARP + threadIdx.x;
  REAL sum = 0;
  if (column < units)
    for (int row = threadIdx.y; row < n; row += LANES) {
      const long long i = static_cast<long long>(row) * units + column;
      const REAL error = activation == IDENTITY ? delta[i] : delta[i] * slope(y[i], activation);
      delta[i] = error;
      sum += error;
    }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || column >= units || !has_bias) return;
  for (int lane = 1; lane < LANES; lane++) sum += sums[lane][threadIdx.x];
  grad_b[column] = sum;
}

// Gradient descent with Polyak's or Nesterov's momentum, after weight decay; `row` is the update's row of the table.
// The first `weights` of the `size` parameters are weights: decay leaves `shrink` of them, which is 1 where there is
// none. velocity is read only where momentum isn't 0.
extern "C" __global__ void descend(
    REAL *parameters, const REAL *gradient, REAL *velocity, const REAL *row, int columns, long long size,
    long long weights, REAL momentum, int nesterov) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  const REAL rate = row[0], shrink = row[columns - 2];
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    REAL step = gradient[i];
    if (momentum != 0) {
      const REAL speed = velocity[i] * momentum + step;
      velocity[i] = speed;
      step = nesterov ? step / momentum + speed : speed;
    }
    const REAL before = i < weights ? parameters[i] * shrink : parameters[i];
    parameters[i] = before - step * rate;
  }
}

// Adam, after weight decay; the moments lack constant factors, see xpnn/optimizers.
extern "C" __global__ void descend_by_adam(
    REAL *parameters, const REAL *gradient, REAL *first_moment, REAL *second_moment, const REAL *row, int columns,
    long long size, long long weights, REAL beta1, REAL beta2) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  const REAL rate = row[0], small = row[1], shrink = row[columns - 2];
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const REAL g = gradient[i], first = first_moment[i] * beta1 + g, second = second_moment[i] * beta2 + g * g;
    first_moment[i] = first;
    second_moment[i] = second;
    const REAL before = i < weights ? parameters[i] * shrink : parameters[i];
    parameters[i] = before - first / (sqrt(second) + small) * rate;
  }
}

#define MOST_OUTPUTS 64
#define MOST_UNITS 1024

// n updates of one row each, exact gradient descent of a net with one hidden layer whose own update is put off: see
// xpnn/fast/online.py. A thread a hidden unit, all in one block; thread h alone touches column h of z, W and b.
//
// z (n, units):  X W0^T at first, and in the end the deltas of the hidden layer times their rates.
// gram (n, n):   X X^T.
// W (n_out, units), c (n_out): the output layer, brought up to date with each row, as is b, at the end.
extern "C" __global__ void __launch_bounds__(MOST_UNITS) learn_rows(
    REAL *z, const REAL *gram, const REAL *t, const REAL *weights, REAL *b, REAL *W, REAL *c, REAL *answers,
    const REAL *table, int columns, const long long *position, int n, int units, int n_out, int has_bias,
    int has_weights, int hidden, int output, int is_softmax, int links, int book) {
  __shared__ REAL parts[MOST_OUTPUTS][MOST_UNITS / WARP];  // of each output's sum, by warps
  __shared__ REAL errors[MOST_OUTPUTS];
  __shared__ REAL steps[MOST_OUTPUTS];
  const int unit = threadIdx.x, lane = unit % WARP, warp = unit / WARP, warps = blockDim.x / WARP;
  const bool own = unit < units;
  const REAL bias = own && has_bias ? b[unit] : 0, one = has_bias ? 1 : 0;
  REAL all_deltas = 0;
  for (int row = 0; row < n; row++) {
    const REAL rate = table[(*position + row) * columns], weight = has_weights ? weights[row] : 1;
    REAL y = 0;
    if (own) {
      REAL sum = z[row * units + unit] + bias;
      for (int before = 0; before < row; before++) sum -= (gram[row * n + before] + one) * z[before * units + unit];
      y = activated(sum, hidden);
    }
    for (int k = 0; k < n_out; k++) {
      const REAL part = sum_of_warp(own ? W[k * units + unit] * y : 0);
      if (lane == 0) parts[k][warp] = part;
    }
    __syncthreads();
    if (warp == 0) {
      for (int k = lane; k < n_out; k += WARP) {
        REAL sum = has_bias ? c[k] : 0;
        for (int i = 0; i < warps; i++) sum += parts[k][i];
        errors[k] = sum;
      }
      activate_row(errors, c, n_out, false, output, is_softmax);  // the biases are in it
      for (int k = lane; k < n_out; k += WARP) {
        const REAL answer = errors[k];
        const REAL error = (answer - t[row * n_out + k]) * weight;
        const REAL delta = links ? error : error * slope(answer, output);
        answers[row * n_out + k] = answer;
        errors[k] = book ? error : delta;
        steps[k] = delta * rate;
        if (has_bias) c[k] -= steps[k];
      }
    }
    __syncthreads();
    if (own) {
      REAL error = 0;
      for (int k = 0; k < n_out; k++) {
        const REAL weight_before = W[k * units + unit];
        error += weight_before * errors[k];
        W[k * units + unit] = weight_before - steps[k] * y;
      }
      const REAL delta = error * slope(y, hidden) * rate;
      z[row * units + unit] = delta;
      all_deltas += delta;
    }
  }
  if (own && has_bias) b[unit] = bias - all_deltas;
}
