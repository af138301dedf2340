// The steps of loading: names, shapes, values.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/layout.h"

namespace moiety {

/// Adds the paths of a tensor's data sets.
void add_slice_paths(const SavedTensor& tensor, std::set<std::string>& paths);
/// Paths of all data sets in these groups; a group that is not there has none.
std::set<std::string> datasets_of(const h5::File& file, const std::vector<std::string>& groups);
/// Throws Error with every difference between the names in the file and in the model.
void check_names(const h5::File& file, const std::set<std::string>& expected,
                 const std::set<std::string>& found);
/// Throws Error unless every data set of the tensor has its shape and a dtype that fits.
void check_shapes(const h5::File& file, const SavedTensor& tensor);
/// The bytes of a data set, checked against its CRC-32.
std::vector<uint8_t> read_checked(const h5::File& file, const std::string& path, DType dtype,
                                  int64_t elements);
/// All elements of a parameter, whatever the float type they were saved in.
std::vector<float> read_floats(const h5::File& file, const SavedTensor& tensor);
/// Reads and checks a tensor and writes it to its entry of the table.
void load_tensor(const h5::File& file, const SavedTensor& tensor, ParameterTable& table);

}  // namespace moiety
