/* A file mapped privately: kernels, initrds and firmware are read where they lie. */
#include "boot/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool image_map(struct image *image, int fd, uint64_t max, struct error *err)
{
    const char *what = image->what;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set_host(err, errno, "%s %s", what, image->path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, "%s %s: %s", what, image->path,
                         S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    if (st.st_size == 0)
        return error_set(err, "%s %s: the file is empty", what, image->path);
    if ((uint64_t)st.st_size > max)
        return error_set(err, "%s %s: too large: %llu bytes, at most %llu fit", what, image->path,
                         (unsigned long long)st.st_size, (unsigned long long)max);
    void *p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return error_set_host(err, errno, "%s %s: cannot map the file", what, image->path);
    image->data = p;
    image->size = st.st_size;
    image->fd = fd;
    return true;
}

bool image_open(struct image *image, const char *what, const char *path, uint64_t max,
                struct error *err)
{
    *image = (struct image){ .path = path, .what = what };
    /* O_NONBLOCK: a FIFO is refused instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, "%s %s: %s", what, path, strerror(errno));
    if (image_map(image, fd, max, err))
        return true;
    close(fd);
    return false;
}

bool image_read(const struct image *image, uint64_t offset, void *dst, size_t size,
                struct error *err)
{
    uint8_t *to = dst;
    while (size) {
        ssize_t n = pread(image->fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_host(err, errno, "%s %s: cannot read the file", image->what,
                                  image->path);
        if (n == 0)
            return error_set(err, "%s %s: cut short to %llu bytes while it was read", image->what,
                             image->path, (unsigned long long)offset);
        to += n;
        offset += n;
        size -= n;
    }
    return true;
}

void image_close(struct image *image)
{
    if (image->data) {
        munmap(image->data, image->size);
        close(image->fd);
    }
    image->data = NULL;
    image->size = 0;
}
