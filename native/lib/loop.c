/* Loop devices over an image file. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ATTACH_ATTEMPTS 64

/* One attempt: -EBUSY when another process took the free device in between. */
static int configure_free_device(int control, int image, int32_t *index) {
  char path[32];
  struct loop_config config = {
      .fd = (uint32_t)image,
      /* Autoclear: the kernel frees the device with its last user, also when the daemon is killed. */
      .info = {.lo_flags = LO_FLAGS_AUTOCLEAR},
  };
  int number = ioctl(control, LOOP_CTL_GET_FREE);
  if (number < 0) return -errno;
  snprintf(path, sizeof(path), "/dev/loop%d", number);
  int device = open(path, O_RDWR | O_CLOEXEC);
  if (device < 0) return -errno;
  if (ioctl(device, LOOP_CONFIGURE, &config) < 0) {
    int error = -errno;
    close(device);
    return error;
  }
  *index = number;
  return device;
}

int warden_loop_attach(const char *image_path, int32_t *index) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return -errno;
  int image = open(image_path, O_RDWR | O_CLOEXEC);
  int result = image < 0 ? -errno : -EBUSY;
  for (int attempt = 0; result == -EBUSY && attempt < ATTACH_ATTEMPTS; attempt++)
    result = configure_free_device(control, image, index);
  if (image >= 0) close(image);
  close(control);
  return result;
}

int warden_loop_grow(const char *device_path) {
  int device = open(device_path, O_RDWR | O_CLOEXEC);
  if (device < 0) return -errno;
  int error = ioctl(device, LOOP_SET_CAPACITY, 0) < 0 ? -errno : 0;
  close(device);
  return error;
}
