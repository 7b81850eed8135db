/* Stands in for the driver's libnvidia-ml.so.1: $CARDS holds a folder for each card, with a file for each thing it tells.
   A file that is missing is NVML_ERROR_NOT_SUPPORTED; a card with a file `lost` has fallen off the bus. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
typedef unsigned long long number;
typedef void *handle; /* the number of the card, and one */
struct utilization { unsigned gpu, memory; };
struct memory { number total, free, used; };

static FILE *open_file(unsigned card, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%u/%s", getenv("CARDS"), card, name);
    return fopen(path, "r");
}

static int is_there(unsigned card, const char *name)
{
    FILE *file = open_file(card, name);
    if (file)
        fclose(file);
    return file != NULL;
}

static int read_text(handle device, const char *name, char *text, unsigned length)
{
    unsigned card = (uintptr_t)device - 1;
    FILE *file;
    if (is_there(card, "lost"))
        return GPU_IS_LOST;
    if (!(file = open_file(card, name)))
        return NOT_SUPPORTED;
    if (!fgets(text, length, file))
        text[0] = 0;
    fclose(file);
    text[strcspn(text, "\n")] = 0;
    return SUCCESS;
}

static int read_number(handle device, const char *name, number *value)
{
    char text[32];
    int result = read_text(device, name, text, sizeof text);
    if (result == SUCCESS)
        *value = strtoull(text, NULL, 10);
    return result;
}

static int read_unsigned(handle device, const char *name, unsigned *value)
{
    number wide;
    int result = read_number(device, name, &wide);
    if (result == SUCCESS)
        *value = wide;
    return result;
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return getenv("CARDS") ? SUCCESS : DRIVER_NOT_LOADED;
}

const char *nvmlErrorString(int result)
{
    return result == GPU_IS_LOST ? "GPU is lost" : result == NOT_SUPPORTED ? "Not Supported" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    for (*count = 0; is_there(*count, ""); ++*count)
        ;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned card, handle *device)
{
    if (!is_there(card, ""))
        return INVALID_ARGUMENT;
    *device = (handle)(uintptr_t)(card + 1);
    return is_there(card, "lost") ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetName(handle device, char *name, unsigned length)
{
    return read_text(device, "name", name, length);
}

int nvmlDeviceGetUtilizationRates(handle device, struct utilization *rates)
{
    int result = read_unsigned(device, "gpu_percent", &rates->gpu);
    rates->memory = 0;
    return result;
}

int nvmlDeviceGetMemoryInfo(handle device, struct memory *memory)
{
    int result = read_number(device, "memory_total", &memory->total);
    if (result == SUCCESS)
        result = read_number(device, "memory_used", &memory->used);
    memory->free = memory->total - memory->used;
    return result;
}

int nvmlDeviceGetTemperature(handle device, unsigned sensor, unsigned *celsius)
{
    return sensor ? INVALID_ARGUMENT : read_unsigned(device, "celsius", celsius);
}

int nvmlDeviceGetPowerUsage(handle device, unsigned *milliwatts)
{
    return read_unsigned(device, "milliwatts", milliwatts);
}
