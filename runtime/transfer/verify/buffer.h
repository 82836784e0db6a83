// A growing run of octets without zero-filling; the rows of a batch lie in one.
// One thread at a time.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace runbook::verify {

class Buffer {
  public:
    Buffer() = default;
    ~Buffer() { std::free(data_); }
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }

    const char* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::string_view view(std::size_t from = 0) const { return {data_ + from, size_ - from}; }
    /// Room for `count` more octets, which count as written; the pointer lives until the next call.
    char* grow(std::size_t count) {
        if (size_ + count > capacity_)
            reserve(size_ + count);
        char* at = data_ + size_;
        size_ += count;
        return at;
    }
    void byte(char value) { *grow(1) = value; }
    void append(std::string_view data) {
        if (!data.empty())
            std::memcpy(grow(data.size()), data.data(), data.size());
    }
    void truncate(std::size_t size) { size_ = size; }
    /// Empties it; memory above `keep` is given back, so that one huge value is not held for ever.
    void clear(std::size_t keep = std::size_t{4} << 20) {
        size_ = 0;
        if (capacity_ > keep) {
            std::free(data_);
            data_ = nullptr;
            capacity_ = 0;
        }
    }

  private:
    void reserve(std::size_t wanted) {
        std::size_t capacity = capacity_ ? capacity_ : 4096;
        while (capacity < wanted)
            capacity += capacity < (std::size_t{64} << 20) ? capacity : capacity / 4;
        char* data = static_cast<char*>(std::realloc(data_, capacity));
        if (!data)
            throw std::bad_alloc();
        data_ = data;
        capacity_ = capacity;
    }

    char* data_ = nullptr;
    std::size_t size_ = 0, capacity_ = 0;
};

} // namespace runbook::verify
