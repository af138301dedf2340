// A pure function from sample number to sample. The core owns order, sharding, prefetch, cursor.
#pragma once

#include <cstdint>
#include <span>

#include <moiety/component.h>

namespace moiety {

enum class Split : uint8_t { kTrain, kValidation, kTest };

struct Field {
  std::string name;  // tokens, targets, loss_mask, positions, segments, image, label, ...
  DType dtype = DType::kI32;
  std::vector<int64_t> shape;  // of one sample
  int64_t bound = 0;           // ids are below it: checked against the model's vocabulary
};

class MOIETY_API DataSource : public Component {
 public:
  static constexpr ComponentKind kKind = ComponentKind::kData;
  static constexpr uint32_t kInterface = 1;
  ~DataSource() override;

  virtual int64_t size(Split) const = 0;  ///< samples of one epoch
  virtual std::vector<Field> fields() const = 0;
  /// Writes one sample into host memory, in the order of fields(). Any thread, any order.
  virtual void fill(Split, int64_t sample, std::span<const TensorView> rows) const = 0;
};

}  // namespace moiety
